"""L2-SP: a pull of the weights towards those of the base."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from transfer_kit.networks import Network


class Pull(nn.Module):
    """½ α ‖w − w₀‖² of weights that now are w₀ (L2-SP; Li, Grandvalet and Davoine 2018, Eq. 2).

    Its second term, decay of what the base does not have, is the optimizer's weight decay.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], alpha: float) -> None:
        """Remember where the weights are.

        Args:
            parameters: Those that are pulled, with the base's values.
            alpha: Strength of the pull.
        """
        super().__init__()
        self.alpha = alpha
        self._parameters_pulled = tuple(parameters)
        for number, parameter in enumerate(parameters):
            # Moves to the device with the module, and stays out of what is saved.
            self.register_buffer(f"base{number}", parameter.detach().clone(), persistent=False)

    def forward(self) -> Tensor:
        """The penalty, a scalar; what is frozen at the moment adds nothing to it."""
        squares = [
            (parameter - base).square().sum()
            for parameter, base in zip(self._parameters_pulled, self.buffers(), strict=True)
            if parameter.requires_grad
        ]
        if not squares:
            return torch.zeros((), device=next(self.buffers()).device)
        return self.alpha / 2 * torch.stack(squares).sum()


def parameters_of_base(network: Network, *, has_base: bool) -> list[nn.Parameter]:
    """The parameters that a network surely has from elsewhere, not fresh.

    Args:
        network: As it starts.
        has_base: Whether it is a copy of a base, which has them all. Pretrained weights fill the
            blocks that the network says (an encoder), else all but the last.
    """
    if has_base:
        return list(network.parameters())
    everything_but_last = tuple(name for name, _ in network.blocks[:-1])
    filled = getattr(network, "pretrained_blocks", everything_but_last)
    return [p for name, block in network.blocks if name in filled for p in block.parameters()]
