"""What learns in a training, block by block, before anything is trained."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from transfer_kit.freeze_forms import Freeze
from transfer_kit.networks import Network
from transfer_kit.settings import TrainSettings
from transfer_kit.transfer.adapters import add_adapters
from transfer_kit.transfer.freezing import Freezing, is_frozen, trainable_parameters
from transfer_kit.transfer.rates import block_rates


@dataclass(frozen=True)
class BlockSummary:
    """One block of a network: its name, its parameters, and how they learn.

    Attributes:
        parameters: All of them, adapters included.
        frozen: Whether nothing of it learns when the training begins.
        learning: Parameters that learn at some step.
        learning_rate: The highest of the training; 0 where nothing ever learns.
        changes: Steps from which on it is frozen (True) or not, after the beginning.
    """

    name: str
    parameters: int
    frozen: bool
    learning: int
    learning_rate: float = 0.0
    changes: tuple[tuple[int, bool], ...] = ()


def summarise_blocks(network: Network) -> list[BlockSummary]:
    """The network's blocks from input to output, as they are."""
    return [
        BlockSummary(
            name,
            parameters=sum(p.numel() for p in block.parameters()),
            frozen=is_frozen(block),
            learning=trainable_parameters(block),
        )
        for name, block in network.blocks
    ]


def summarise_training(
    network: Network, freeze: Freeze, settings: TrainSettings
) -> list[BlockSummary]:
    """The network's blocks from input to output, as a training would move them.

    Args:
        network: Stays as it is.
        freeze: Blocks that do not learn.
        settings: Rates and adapters.

    Raises:
        UserError: the freezing or the adapters are not possible with this network.
    """
    network = copy.deepcopy(network)
    adapter = settings.adapter
    learnable = add_adapters(network, adapter, freeze=freeze) if adapter.rank else None
    freezing = Freezing(network, freeze, learnable=learnable)
    learning = {id(parameter) for parameter in freezing.ever_learning()}
    rates = block_rates(network, settings.optimizer)
    freezing.apply(0)
    found = []
    for name, block in network.blocks:
        parameters = list(block.parameters())
        count = sum(p.numel() for p in parameters if id(p) in learning)
        found.append(
            BlockSummary(
                name,
                parameters=sum(p.numel() for p in parameters),
                frozen=is_frozen(block),
                learning=count,
                learning_rate=rates[name] if count else 0.0,
                changes=_changes(freezing, name) if count else (),
            )
        )
    return found


def _changes(freezing: Freezing, name: str) -> tuple[tuple[int, bool], ...]:
    """Steps after the first at which a block is frozen or let go."""
    changes = []
    before = name in freezing.frozen_at(0)
    for step in freezing.steps[1:]:
        now = name in freezing.frozen_at(step)
        if now != before:
            changes.append((step, now))
        before = now
    return tuple(changes)
