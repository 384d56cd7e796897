"""What every network offers, and where networks are found by name."""

from __future__ import annotations

import abc
import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

from torch import Tensor, nn

from transfer_kit.errors import UserError, nearest_hint


class Network(nn.Module, abc.ABC):
    """A fully convolutional network from an image to maps of the same height and width.

    `forward` takes a standardised image `(B, 3, H, W)` of any size from 1 × 1 on and returns
    maps `(B, channels, H, W)` of its weights' type, float32, also under autocast. Outputs are
    linear: whatever non-linearity a target needs belongs to the codec.
    """

    @property
    @abc.abstractmethod
    def stride(self) -> int:
        """Pixels by which an input must shift for its output to shift with it.

        A network whose options do not change it says `stride: ClassVar[int] = 16`.
        """

    @property
    @abc.abstractmethod
    def blocks(self) -> tuple[tuple[str, nn.Module], ...]:
        """The blocks by name from input to output; each parameter belongs to exactly one."""

    @property
    @abc.abstractmethod
    def receptive_field(self) -> int:
        """Width in pixels of the square around an output pixel that alone can change it.

        Half of it is the margin that a tile needs to be equal to the whole image.
        """

    @abc.abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Maps `(B, channels, H, W)` float32 of images `(B, 3, H, W)`."""


@runtime_checkable
class SelfJudging(Protocol):
    """A network that judges itself, since its loss is not one of its maps."""

    needed_codec: ClassVar[str]
    """The only codec whose maps it can make."""

    def loss(self, images: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """One loss an image `(B,)`; arguments as in `forward` and `Codec.loss`."""


N = TypeVar("N", bound=type[Network])

_NETWORKS: dict[str, type[Network]] = {}
_LATE: dict[str, str] = {}


def register_network(name: str) -> Callable[[N], N]:
    """Make a network class known to `build_network` under `name`."""

    def register(network: N) -> N:
        if name in _NETWORKS:
            raise ValueError(f"two networks are named {name!r}")
        _NETWORKS[name] = network
        return network

    return register


def register_late(name: str, module: str) -> None:
    """Make a network known whose module registers it, and is imported once it is asked for."""
    _LATE[name] = module


def network_names() -> tuple[str, ...]:
    """The names that `build_network` knows."""
    return tuple(sorted(_NETWORKS.keys() | _LATE.keys()))


def _network(name: str) -> type[Network] | None:
    if name in _LATE:
        import_module(_LATE[name])
    return _NETWORKS.get(name)


def needed_codec(name: str) -> str | None:
    """The only codec that a network goes with; None where any does, or there is no such network."""
    codec: str | None = getattr(_network(name), "needed_codec", None)
    return codec


def build_network(name: str, *, channels: int, **options: Any) -> Network:
    """A network with fresh weights, drawn from torch's current seed.

    Args:
        name: As registered, such as `"micronet"`.
        channels: Output maps; the codec's `channels`.
        options: The network's own keyword arguments, such as `width`.

    Raises:
        UserError: Unknown name, unknown option, or a value that the network refuses.
    """
    network = _network(name)
    if network is None:
        raise UserError(f"There is no network {name!r}. {nearest_hint(name, network_names())}")
    known = set(inspect.signature(network).parameters) - {"channels"}
    for option in options:
        if option not in known:
            raise UserError(
                f"The network {name!r} has no option {option!r}. {nearest_hint(option, known)}"
            )
    return network(channels=channels, **options)
