"""The `.safetensors` file of a detector: its weights, with its card in the metadata."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from transfer_kit.card import DetectorCard
from transfer_kit.errors import UserError
from transfer_kit.files import replacing
from transfer_kit.wording import counted


def write_weights(
    path: Path, card: DetectorCard, weights: Mapping[str, Tensor], *, half: bool = False
) -> Path:
    """Write the file whole or not at all; `half` stores 16-bit weights, half the size."""
    tensors = {name: _stored(value, half) for name, value in weights.items()}
    with replacing(path) as temporary:
        # Through memory: safetensors' own file may be read by its writer alone.
        temporary.write_bytes(save(tensors, metadata={"card": card.model_dump_json()}))
    return path


def read_weights(path: Path) -> tuple[DetectorCard, dict[str, Tensor]]:
    """Card and weights. No code in the file is ever run.

    Raises:
        UserError: the file is missing, is no safetensors file, or has no card.
    """
    return _read(path, weights=True)


def read_card(path: str | Path) -> DetectorCard:
    """The card of a weights file, without its weights."""
    return _read(Path(path), weights=False)[0]


def weights_hash(path: str | Path) -> str:
    """SHA-256 of a weights file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def fill(network: nn.Module, tensors: Mapping[str, Tensor], path: Path, card: DetectorCard) -> None:
    """Give the network the weights of a file.

    Raises:
        UserError: they belong to another architecture.
    """
    own = network.state_dict()
    unlike = sorted(
        name
        for name in own.keys() | tensors.keys()
        if name not in own or name not in tensors or own[name].shape != tensors[name].shape
    )
    if unlike:
        raise UserError(
            f"The weights in {path} are of another architecture than its card's "
            f"{card.network.name} {card.network.options} ({counted(len(unlike), 'tensor')} unlike, "
            f"first {unlike[0]}); use a file that transfer-kit saved whole."
        )
    network.load_state_dict({name: tensors[name].to(own[name].dtype) for name in own})


def _stored(value: Tensor, half: bool) -> Tensor:
    value = value.detach().cpu().contiguous()
    return value.half() if half and value.is_floating_point() else value


def _read(path: Path, *, weights: bool) -> tuple[DetectorCard, dict[str, Tensor]]:
    if not path.is_file():
        raise UserError(f"{path} does not exist; check the path or see `transfer-kit models list`.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, Any] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()} if weights else {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path} is no safetensors file ({error}); only files that transfer-kit saved are "
            "loaded, since other formats can run code."
        ) from None
    if "card" not in metadata:
        raise UserError(f"{path} has no transfer-kit card; was it saved by another program?")
    try:
        return DetectorCard.model_validate(json.loads(metadata["card"])), tensors
    except (ValidationError, json.JSONDecodeError) as error:
        first = str(error).splitlines()[0]
        raise UserError(f"The card in {path} cannot be read ({first}); export it again.") from None
