"""What frozen blocks make of a crop, computed once and served whenever the crop comes again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from transfer_kit.errors import UserError
from transfer_kit.networks import Network
from transfer_kit.networks.base import SelfJudging

log = logging.getLogger("transfer_kit.feature_cache")

MOST_BYTES_IN_RAM = 2 * 1024**3
"""What is kept at most where the network runs on the CPU, or in memory that it shares with it."""

SHARE_OF_FREE_DEVICE_MEMORY = 0.5
"""What is kept at most on a GPU, of what its first step leaves free."""

Crop: TypeAlias = tuple[int, ...]
"""What a crop is known by; see `Patch.crop`."""

Forward: TypeAlias = Callable[..., Any]


@dataclass(frozen=True)
class ReusableBlock:
    """A frozen block whose output depends on the crop alone.

    Attributes:
        is_read: Whether anything but other such blocks reads its output, which then is kept.
        output_bytes: Of the output for one crop, in float32.
    """

    name: str
    module: nn.Module
    is_read: bool
    output_bytes: int


def reusable_blocks(
    network: Network, frozen: Collection[str], *, size_px: int = 64
) -> tuple[ReusableBlock, ...]:
    """The frozen blocks behind no block that learns, from input to output.

    The network runs twice over an empty crop: what it reads is seen from its gradients.

    Args:
        network: Of which exactly `frozen` has no gradient. Its mode is put back, nothing else
            changes.
        frozen: Names of blocks.
        size_px: Side of the crop.

    Raises:
        UserError: the network runs its blocks otherwise than by calling them, or there is no such
            block.
    """
    name = type(network).__name__
    if isinstance(network, SelfJudging):
        raise UserError(
            f"train.cache_features: the network {name} judges itself, and its features cannot be "
            "kept; set train.cache_features to false."
        )
    modules = {block: module for block, module in network.blocks if block in frozen}
    calls: dict[str, list[bool]] = {block: [] for block in modules}
    outputs: dict[str, Tensor] = {}

    def watched(block: str, forward: Forward, *inputs: Any) -> Any:
        calls[block].append(any(_learns(value) for value in inputs))
        outputs[block] = forward(*inputs)
        return outputs[block]

    _look(network, modules, watched, size_px)
    if idle := [block for block, made in calls.items() if not made]:
        raise UserError(
            f"train.cache_features: the network {name} runs {idle[0]} together with other blocks, "
            "whose features cannot be kept apart; set train.cache_features to false."
        )
    found = {block: module for block, module in modules.items() if calls[block] == [False]}
    if not found:
        raise UserError(
            f"train.cache_features: every frozen block ({', '.join(modules)}) comes after one that "
            "learns, so its features change; freeze the first blocks, or set "
            "train.cache_features to false."
        )
    read = _read_outside(network, found, size_px)
    return tuple(
        ReusableBlock(block, module, block in read, outputs[block].numel() * 4)
        for block, module in found.items()
    )


class FeatureCache:
    """Serves the outputs of frozen blocks for crops that they have seen, while a step is taken.

    Each crop goes through the frozen blocks by itself, so that what is kept of it does not depend
    on its neighbours in a batch, on the order of batches or on the memory that there is: a resumed
    training, whose cache begins empty, equals an uninterrupted one.

    Example:
        >>> from transfer_kit.networks import build_network
        >>> from transfer_kit.transfer.freezing import Freezing
        >>> network = build_network("micronet", channels=1, width=2)
        >>> freezing = Freezing(network, 2)
        >>> _ = freezing.apply(0), network.eval()
        >>> cache = FeatureCache(network, freezing.frozen_at(0))
        >>> with cache.serving([(0, 0, 0)]):
        ...     maps = network(torch.zeros(1, 3, 64, 64))
        >>> len(cache), cache.kept_bytes == 4 * (2 * 64**2 + 4 * 32**2)
        (1, True)
    """

    def __init__(
        self, network: Network, frozen: Collection[str], *, most_bytes: int | None = None
    ) -> None:
        """Find what is to be kept; nothing is computed yet.

        Args:
            network: As of `reusable_blocks`. Its frozen blocks must stay as they are.
            frozen: Names of its frozen blocks.
            most_bytes: Beyond them crops are computed each time. By default 2 GiB in RAM, or half
                of what the first step leaves free on a GPU.

        Raises:
            UserError: as `reusable_blocks`.
        """
        self.blocks = reusable_blocks(network, frozen)
        self.most_bytes = most_bytes
        self.kept_bytes = 0
        self._kept: dict[Crop, dict[str, Tensor]] = {}
        self._shapes: dict[str, torch.Size] = {}
        self._is_full = False

    def __len__(self) -> int:
        """How many crops are kept."""
        return len(self._kept)

    def clear(self) -> None:
        """Give the memory back."""
        self._kept.clear()
        self.kept_bytes, self._is_full = 0, False

    @contextmanager
    def serving(self, crops: Collection[Crop]) -> Iterator[None]:
        """Within it the network is given a batch of these crops, and nothing else.

        Args:
            crops: Of the images of the batch, in order. Equal ones mean equal images.
        """
        crops = tuple(crops)
        computed: dict[str, dict[int, Tensor]] = {block.name: {} for block in self.blocks}

        def serve(block: ReusableBlock, forward: Forward, *inputs: Tensor) -> Tensor:
            outputs = []
            for place, crop in enumerate(crops):
                if crop in self._kept:
                    outputs.append(self._served(block, crop, inputs[0]))
                    continue
                output = forward(*(value[place : place + 1] for value in inputs))
                self._shapes[block.name] = output.shape
                computed[block.name][place] = output
                outputs.append(output)
            # A copy also of a single one: what follows may change it in place.
            return torch.cat(outputs)

        replaced = {block.module: partial(serve, block) for block in self.blocks}
        with _replaced_forwards(replaced):
            yield
        for place, crop in enumerate(crops):
            if crop not in self._kept:
                self._keep(
                    crop, {b.name: computed[b.name][place] for b in self.blocks if b.is_read}
                )

    def _served(self, block: ReusableBlock, crop: Crop, like: Tensor) -> Tensor:
        if block.is_read:
            return self._kept[crop][block.name]
        # Nobody reads it; if somebody did, the loss would not be finite and the training stop.
        return like.new_full((), torch.nan).expand(self._shapes[block.name])

    def _keep(self, crop: Crop, outputs: dict[str, Tensor]) -> None:
        if self._is_full:
            return
        if self.most_bytes is None:
            self.most_bytes = _most_bytes(next(iter(outputs.values())).device)
        size = sum(output.nbytes for output in outputs.values())
        if self.kept_bytes + size > self.most_bytes:
            self._is_full = True
            log.warning(
                "train.cache_features keeps the features of %d crops, %.1f GB; those of all others "
                "are computed each time",
                len(self),
                self.kept_bytes / 1e9,
            )
            return
        # Clones: an output may be a part of a larger tensor, or be its input.
        self._kept[crop] = {name: output.detach().clone() for name, output in outputs.items()}
        self.kept_bytes += size


@contextmanager
def _replaced_forwards(replaced: Mapping[nn.Module, Callable[..., Any]]) -> Iterator[None]:
    """Modules run by other functions, which are given what `forward` is, and then its inputs."""
    try:
        for module, other in replaced.items():
            setattr(module, "forward", partial(other, module.forward))  # noqa: B010
        yield
    finally:
        for module in replaced:
            module.__dict__.pop("forward", None)


def _look(
    network: Network,
    modules: Mapping[str, nn.Module],
    instead: Callable[..., Any],
    size_px: int,
) -> Tensor:
    """Maps of an empty crop, made with `instead(name, forward, *inputs)` as blocks' forward."""
    modes = {module: module.training for module in network.modules()}
    network.eval()  # neither dropout nor statistics: the network stays as it is
    parameter = next(network.parameters())
    empty = torch.zeros(1, 3, size_px, size_px, device=parameter.device, dtype=parameter.dtype)
    try:
        replaced = {module: partial(instead, name) for name, module in modules.items()}
        with torch.enable_grad(), _replaced_forwards(replaced):
            maps: Tensor = network(empty)
        return maps
    finally:
        for module, mode in modes.items():
            module.training = mode


def _read_outside(
    network: Network, modules: Mapping[str, nn.Module], size_px: int
) -> frozenset[str]:
    """The blocks whose outputs the maps depend on otherwise than through these blocks."""
    leaves: dict[str, Tensor] = {}

    def cut(block: str, forward: Forward, *inputs: Tensor) -> Tensor:
        leaves[block] = forward(*(value.detach() for value in inputs)).detach().requires_grad_()
        # A view: what follows may change it in place, which a leaf does not allow.
        return leaves[block].clone()

    maps = _look(network, modules, cut, size_px)
    gradients = torch.autograd.grad(maps.sum(), list(leaves.values()), allow_unused=True)
    return frozenset(
        name for name, gradient in zip(leaves, gradients, strict=True) if gradient is not None
    )


def _learns(value: Any) -> bool:
    """Whether an input of a block changes as the network learns; what is no tensor may."""
    return not isinstance(value, Tensor) or value.requires_grad


def _most_bytes(device: torch.device) -> int:
    if device.type != "cuda":
        return MOST_BYTES_IN_RAM
    free, _ = torch.cuda.mem_get_info(device)
    return int(SHARE_OF_FREE_DEVICE_MEMORY * free)
