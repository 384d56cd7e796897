"""Starting from published or earlier weights: a local file, or weights known by name."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from transfer_kit.errors import UserError
from transfer_kit.networks.base import Network

NAMES = ("imagenet", "coco")
"""Weights that are known by name, to the networks that have such."""

WRAPPERS = ("state_dict", "model_state_dict", "model", "teacher")
"""Under which training programs keep the weights in their checkpoints."""

PREFIXES = ("module.", "backbone.")
"""What they put before each name."""


@runtime_checkable
class HasPublishedWeights(Protocol):
    """A network whose first blocks are an architecture that others publish weights of."""

    pretrained_blocks: tuple[str, ...]

    def published_weights(self, name: str) -> dict[str, Tensor]:
        """Download the weights known as `name`."""

    def from_published(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors under this network's names; none of layers that it does not have."""


def load_pretrained(network: Network, source: str | Path) -> tuple[str, ...]:
    """Fill a fresh network with weights learned elsewhere.

    A file of this kit must fill all blocks but the last, whose maps another codec may have; a
    published one must fill the encoder (VGG-16's convolutions, timm's encoder).

    Args:
        network: With fresh weights; changed in place.
        source: `imagenet`, or a file: `.safetensors`, or one that `torch.save` wrote, which is
            read without running code.

    Returns:
        The names of the blocks that keep fresh weights, all or some.

    Raises:
        UserError: the file is missing, cannot be read, or is of another architecture; the network
            has no weights of that name, or they cannot be downloaded.
    """
    if str(source) in NAMES:
        tensors, said = _download(network, str(source)), f"published as {source}"
    else:
        kept = getattr(network, "published_prefixes", ())
        tensors, said = _read(Path(source), kept), f"in {source}"
    own = network.state_dict()
    required = tuple(name for name, _ in network.blocks[:-1])
    if isinstance(network, HasPublishedWeights) and not own.keys() & tensors.keys():
        tensors, required = _renamed(network, tensors), network.pretrained_blocks
    _refuse_other_architecture(network, tensors, required, said)
    fitting = {
        name: tensor.to(own[name].dtype)
        for name, tensor in tensors.items()
        if name in own and own[name].shape == tensor.shape
    }
    network.load_state_dict(fitting, strict=False)
    return tuple(
        block
        for block, names in _names_of_blocks(network).items()
        if not fitting.keys() >= {name for name in names if not _is_counter(name)}
    )


def from_transformers(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """A vision transformer of the transformers library (ViT, DINOv2) under timm's names.

    Others are given back as they are.
    """
    projection = "embeddings.patch_embeddings.projection.weight"
    prefix = next((name.removesuffix(projection) for name in tensors if projection in name), None)
    if prefix is None:
        return tensors
    plain = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    named = {}
    for name, tensor in plain.items():
        query = re.fullmatch(r"encoder\.layer\.(\d+)\.attention\.attention\.query\.(.+)", name)
        if query:
            parts = [plain[name.replace("query", part)] for part in ("query", "key", "value")]
            named[f"blocks.{query[1]}.attn.qkv.{query[2]}"] = torch.cat(parts)
            continue
        for pattern, timm_name in _TRANSFORMERS.items():
            if re.fullmatch(pattern, name):
                named[re.sub(pattern, timm_name, name)] = tensor
    return named


_LAYER = r"encoder\.layer\.(\d+)\."
_TRANSFORMERS = {
    r"embeddings\.cls_token": "cls_token",
    r"embeddings\.register_tokens": "reg_token",
    r"embeddings\.position_embeddings": "pos_embed",
    r"embeddings\.patch_embeddings\.projection\.(.+)": r"patch_embed.proj.\1",
    r"layernorm\.(.+)": r"norm.\1",
    _LAYER + r"(?:layernorm_before|norm1)\.(.+)": r"blocks.\1.norm1.\2",
    _LAYER + r"(?:layernorm_after|norm2)\.(.+)": r"blocks.\1.norm2.\2",
    _LAYER + r"attention\.output\.dense\.(.+)": r"blocks.\1.attn.proj.\2",
    _LAYER + r"(?:intermediate\.dense|mlp\.fc1)\.(.+)": r"blocks.\1.mlp.fc1.\2",
    _LAYER + r"(?:output\.dense|mlp\.fc2)\.(.+)": r"blocks.\1.mlp.fc2.\2",
    _LAYER + r"layer_scale(\d)\.lambda1": r"blocks.\1.ls\2.gamma",
}
"""Names in the transformers library, and the same tensors' in timm."""


def _download(network: Network, name: str) -> dict[str, Tensor]:
    kind = type(network).__name__
    if not isinstance(network, HasPublishedWeights):
        raise UserError(
            f"There are no weights named {name!r} for the network {kind}, which starts from "
            "scratch; leave network.pretrained out, or give a file."
        )
    try:
        return network.published_weights(name)
    except KeyError:
        raise UserError(
            f"There are no weights named {name!r} for this {kind}; give another name (of "
            f"{', '.join(NAMES)}) or a file as network.pretrained."
        ) from None
    except Exception as error:  # whatever the libraries raise where there is no connection
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"The weights named {name!r} of the network {kind} cannot be had ({first}); download "
            "them where there is a connection and give the file as network.pretrained."
        ) from None


def _read(path: Path, kept: tuple[str, ...]) -> dict[str, Tensor]:
    if not path.is_file():
        raise UserError(
            f"The pretrained weights {path} do not exist; give a file, or one of: "
            f"{', '.join(NAMES)}."
        )
    try:
        if path.suffix == ".safetensors":
            tensors: dict[str, Tensor] = load_file(path)
            return tensors
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"The pretrained weights {path} cannot be read without running code ({first}); save "
            "them as .safetensors."
        ) from None
    return _unwrapped(content, path, kept)


def _unwrapped(content: Any, path: Path, kept: tuple[str, ...]) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, without what training programs wrap them in.

    Prefixes in `kept` are no wrapper's, but of the names that the network's converter expects.
    """
    while isinstance(content, Mapping):
        inner = next((content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), 0)
        if not inner:
            break
        content = inner
    items = content.items() if isinstance(content, Mapping) else ()
    tensors = {str(name): value for name, value in items if isinstance(value, Tensor)}
    if not tensors:
        raise UserError(
            f"The pretrained weights {path} hold no named tensors; save a network's state_dict."
        )
    for prefix in (prefix for prefix in PREFIXES if prefix not in kept):
        if prefixed := {n: t for n, t in tensors.items() if n.startswith(prefix)}:
            tensors = {name.removeprefix(prefix): tensor for name, tensor in prefixed.items()}
    return tensors


def _renamed(network: HasPublishedWeights, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    try:
        return network.from_published(tensors)
    except (KeyError, AttributeError, RuntimeError, ValueError, TypeError):
        return {}  # names that its converter does not expect: none of them is the network's


def _refuse_other_architecture(
    network: Network, tensors: Mapping[str, Tensor], required: tuple[str, ...], said: str
) -> None:
    own = network.state_dict()
    blocks = _names_of_blocks(network)
    needed = {name for block in required for name in blocks[block] if not _is_counter(name)}
    loose = {name for block in blocks if block not in required for name in blocks[block]}
    unlike = [
        *(f"{name} is missing" for name in own if name in needed and name not in tensors),
        *_other_shapes(own, tensors, needed),
        *(f"{name} is not part of it" for name in tensors if not _known(name, own, loose)),
    ]
    if unlike:
        raise UserError(
            f"The weights {said} are of another architecture than this {type(network).__name__} "
            f"({len(unlike)} tensors differ, first: {unlike[0]}); give weights of the same network "
            "and options."
        )


def _other_shapes(
    own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], needed: set[str]
) -> Iterator[str]:
    for name in own:
        if name in needed and name in tensors and own[name].shape != tensors[name].shape:
            theirs, ours = (tuple(each[name].shape) for each in (tensors, own))
            yield f"{name} is {theirs} instead of {ours}"


def _known(name: str, own: Mapping[str, Tensor], loose: set[str]) -> bool:
    """Whether a tensor is the network's, or lies in a block that need not be filled."""
    first = name.split(".")[0]
    return name in own or first in {other.split(".")[0] for other in loose}


def _is_counter(name: str) -> bool:
    """Whether a buffer only counts batches, which older files do not hold."""
    return name.endswith("num_batches_tracked")


def _names_of_blocks(network: Network) -> dict[str, list[str]]:
    """The names of each block's tensors in the network's state, blocks from input to output."""
    places = {
        id(tensor): block
        for block, part in network.blocks
        for tensor in (*part.parameters(), *part.buffers())
    }
    names: dict[str, list[str]] = {block: [] for block, _ in network.blocks}
    for name, tensor in network.state_dict(keep_vars=True).items():
        names[places[id(tensor)]].append(name)
    return names
