"""Freezing: which blocks of a network stay as the base left them (paper 002, Fig. 5 row 4)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from transfer_kit.errors import UserError
from transfer_kit.networks import Network


@dataclass(frozen=True)
class BlockSummary:
    """One block of a network: its name, its parameters, and whether it learns."""

    name: str
    parameters: int
    frozen: bool


def freeze_first_blocks(network: Network, count: int) -> None:
    """Freeze the first `count` blocks from the input and let all others learn.

    Raises:
        UserError: `count` is negative, or leaves nothing to learn.
    """
    blocks = network.blocks
    if not 0 <= count < len(blocks):
        names = ", ".join(name for name, _ in blocks)
        raise UserError(
            f"freeze: {count} is not possible: the network has {len(blocks)} blocks ({names}) and "
            f"at least the last must learn; choose 0 to {len(blocks) - 1}."
        )
    for position, (_, block) in enumerate(blocks):
        block.requires_grad_(position >= count)


def is_frozen(block: nn.Module) -> bool:
    """Whether no parameter of the block learns."""
    return not any(parameter.requires_grad for parameter in block.parameters())


def hold_frozen_statistics(network: Network) -> None:
    """Put frozen blocks back into evaluation mode: stored batch-norm statistics, no dropout.

    To be called after every `network.train()`, which would otherwise let the running mean and
    variance of frozen blocks drift with the target's images.
    """
    for _, block in network.blocks:
        if is_frozen(block):
            block.eval()


def summarise_blocks(network: Network) -> list[BlockSummary]:
    """The network's blocks from input to output."""
    return [
        BlockSummary(name, sum(p.numel() for p in block.parameters()), is_frozen(block))
        for name, block in network.blocks
    ]


def trainable_parameters(network: nn.Module) -> int:
    """How many numbers learn."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
