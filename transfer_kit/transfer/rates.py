"""How fast each parameter learns: rates by block, and what is decayed towards zero."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from torch import nn

from transfer_kit.networks import Network
from transfer_kit.settings import OptimizerSettings


def block_rates(network: Network, settings: OptimizerSettings) -> dict[str, float]:
    """The highest learning rate of each block: the last has the recipe's, those before it less.

    A block that is d before the last learns at `learning_rate` × `block_decay` ** d (discriminative
    fine-tuning, Howard and Ruder 2018, section 3.2).
    """
    names = [name for name, _ in network.blocks]
    return {
        name: settings.learning_rate * settings.block_decay ** (len(names) - 1 - place)
        for place, name in enumerate(names)
    }


def parameter_groups(
    network: Network,
    learning: Sequence[nn.Parameter],
    settings: OptimizerSettings,
    *,
    pulled: Collection[nn.Parameter] = (),
) -> list[dict[str, Any]]:
    """Groups for an optimizer, each with its highest rate `lr` and its `weight_decay`.

    The first group has the greatest rate. Norms and biases are not decayed, nor is what is pulled
    elsewhere than to zero.

    Args:
        network: Whose blocks have the rates.
        learning: The parameters that learn at some step.
        settings: Rate, decay by block, and weight decay.
        pulled: Those that are pulled towards the base's weights instead of zero.
    """
    kept = {id(parameter) for parameter in pulled}
    groups = []
    for rate, parameters in _by_rate(network, learning, settings):
        decayed = [p for p in parameters if p.ndim > 1 and id(p) not in kept]
        others = [p for p in parameters if p.ndim <= 1 or id(p) in kept]
        for members, decay in ((decayed, settings.weight_decay), (others, 0.0)):
            if members:
                groups.append({"params": members, "lr": rate, "weight_decay": decay})
    return groups


def _by_rate(
    network: Network, learning: Sequence[nn.Parameter], settings: OptimizerSettings
) -> Iterator[tuple[float, list[nn.Parameter]]]:
    """The learning parameters of each rate, from the last block to the first."""
    if settings.block_decay == 1:
        # One group for all: a loop over a group a block costs time in each step.
        yield settings.learning_rate, list(learning)
        return
    wanted = {id(parameter) for parameter in learning}
    rates = block_rates(network, settings)
    for name, block in reversed(network.blocks):
        yield rates[name], [p for p in block.parameters() if id(p) in wanted]
