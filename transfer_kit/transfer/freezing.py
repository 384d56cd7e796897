"""Freezing: which blocks of a network stay as the base left them (paper 002, Fig. 5 row 4)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from fnmatch import fnmatchcase

from torch import nn

from transfer_kit.errors import UserError, nearest_hint
from transfer_kit.freeze_forms import Freeze, Frozen, schedule_of, write_freeze
from transfer_kit.networks import Network


class Freezing:
    """Which parameters of a network learn at each step of a training.

    Example:
        >>> from transfer_kit.networks import build_network
        >>> network = build_network("micronet", channels=1, width=2)
        >>> freezing = Freezing(network, {0: 2, 500: ("input",)})
        >>> sorted(freezing.frozen_at(499)), sorted(freezing.frozen_at(500))
        (['down1', 'input'], ['input'])
    """

    def __init__(
        self, network: Network, freeze: Freeze, *, learnable: Iterable[nn.Parameter] | None = None
    ) -> None:
        """Find what is to be frozen; nothing is changed yet.

        Args:
            network: Whose blocks are frozen.
            freeze: A count from the input, names with globs, or what is frozen from each step on.
            learnable: The only parameters that may learn; all by default.

        Raises:
            UserError: a block does not exist, or nothing is left to learn at some step.
        """
        self.network = network
        self._learnable = {
            id(p) for p in (network.parameters() if learnable is None else learnable)
        }
        self._schedule = {
            step: self._frozen(frozen, _from(step) if isinstance(freeze, dict) else "")
            for step, frozen in schedule_of(freeze).items()
        }
        self._now: frozenset[str] | None = None

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps from which on something is set, 0 among them."""
        return tuple(sorted({0, *self._schedule}))

    def frozen_at(self, step: int) -> frozenset[str]:
        """Names of the blocks that do not learn at `step`; before a schedule begins, none."""
        begun = [begin for begin in self._schedule if begin <= step]
        return self._schedule[max(begun)] if begun else frozenset()

    def apply(self, step: int) -> bool:
        """Let learn what learns at `step`, and nothing else; says whether that is a change.

        After a change, `network.train()` and `hold_frozen_statistics` are to be called.
        """
        frozen = self.frozen_at(step)
        if frozen == self._now:
            return False
        for name, block in self.network.blocks:
            for parameter in block.parameters():
                parameter.requires_grad_(name not in frozen and id(parameter) in self._learnable)
        self._now = frozen
        return True

    def show_all(self) -> None:
        """Let all that ever learns have a gradient until `apply` is called next.

        Who looks once for what learns, as torch's DistributedDataParallel does, then sees it.
        """
        for parameter in self.ever_learning():
            parameter.requires_grad_(True)
        self._now = None

    def ever_learning(self) -> list[nn.Parameter]:
        """The parameters that learn at some step, in the network's order."""
        always = frozenset.intersection(*map(self.frozen_at, self.steps))
        kept = {id(p) for p in _parameters(self.network, always)}
        wanted = self._learnable - kept
        return [parameter for parameter in self.network.parameters() if id(parameter) in wanted]

    def _frozen(self, frozen: Frozen, when: str) -> frozenset[str]:
        names = frozen_blocks(self.network, frozen, when=when)
        if self._learnable <= {id(p) for p in _parameters(self.network, names)}:
            raise UserError(
                f"freeze: {write_freeze(frozen)}{when} leaves nothing to learn; freeze less, so "
                "that at least one block learns."
            )
        return names


def frozen_blocks(network: Network, frozen: Frozen, *, when: str = "") -> frozenset[str]:
    """The names of the first so many blocks, or of those that names with globs mean.

    Raises:
        UserError: there are no such blocks.
    """
    blocks = [name for name, _ in network.blocks]
    if isinstance(frozen, int):
        if not 0 <= frozen < len(blocks):
            raise UserError(
                f"freeze: {frozen}{when} is not possible: the network has {len(blocks)} blocks "
                f"({', '.join(blocks)}) and at least the last must learn; choose 0 to "
                f"{len(blocks) - 1}."
            )
        return frozenset(blocks[:frozen])
    found: set[str] = set()
    for pattern in frozen:
        matched = {name for name in blocks if fnmatchcase(name, pattern)}
        if not matched:
            raise UserError(
                f"freeze: the network has no block {pattern!r}{when}. "
                f"{nearest_hint(pattern, blocks)}"
            )
        found |= matched
    return frozenset(found)


def _parameters(network: Network, names: Collection[str]) -> Iterator[nn.Parameter]:
    for name, block in network.blocks:
        if name in names:
            yield from block.parameters()


def _from(step: int) -> str:
    return f" from step {step} on"


def freeze_first_blocks(network: Network, count: int) -> None:
    """Freeze the first `count` blocks from the input and let all others learn.

    Raises:
        UserError: `count` is negative, or leaves nothing to learn.
    """
    Freezing(network, count).apply(0)


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


def trainable_parameters(network: nn.Module) -> int:
    """How many numbers learn."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
