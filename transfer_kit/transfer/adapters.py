"""Low-rank adapters beside frozen weights (LoRA; Hu et al. 2022), through the library peft."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from transfer_kit.errors import UserError
from transfer_kit.freeze_forms import Freeze, write_freeze
from transfer_kit.networks import Network
from transfer_kit.settings import AdapterSettings
from transfer_kit.transfer.freezing import Freezing

NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm)


def add_adapters(
    network: Network, settings: AdapterSettings, *, freeze: Freeze = 0, seed: int = 0
) -> list[nn.Parameter]:
    """Put adapters beside the weights of the blocks that learn at some step.

    Plain convolutions and linear layers get one. Grouped and dilated convolutions, transposed ones
    and layers of a kind of their own get none: peft cannot merge or run them. At first adapters
    add nothing, so that the maps are the same.

    Args:
        network: Changed in place; `merge_adapters` makes it an ordinary one again.
        settings: Rank and what learns besides.
        freeze: Blocks without adapters.
        seed: Of their first weights.

    Returns:
        The parameters that learn: the adapters', and what the settings add.

    Raises:
        UserError: peft is not installed, or there is no layer that an adapter fits.
    """
    inject, make_config = _peft()
    learning = {id(parameter) for parameter in Freezing(network, freeze).ever_learning()}
    last = network.blocks[-1][1]
    also = [p for p in _also_learning(network, last, settings) if id(p) in learning]
    whole = set(last.modules()) if settings.last_block else set()
    names = [
        name
        for name, layer in network.named_modules()
        if _fits(layer) and layer not in whole and id(layer.weight) in learning
    ]
    if not names:
        where = f" among those that freeze: {write_freeze(freeze)} lets learn" if freeze else ""
        raise UserError(
            f"train.adapter: the network {type(network).__name__} has no convolution or linear "
            f"layer{where} that an adapter fits; set train.adapter.rank to 0."
        )
    before = {id(parameter) for parameter in network.parameters()}
    config = make_config(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules="|".join(map(re.escape, names)),
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        inject(config, network)
    return [p for p in network.parameters() if id(p) not in before] + also


def merge_adapters(network: nn.Module) -> None:
    """Add what the adapters learned to the weights beside them, and take the adapters away."""
    for name, adapted in list(_adapted(network)):
        adapted.merge()
        parent, _, own = name.rpartition(".")
        setattr(network.get_submodule(parent), own, adapted.get_base_layer())


def _adapted(network: nn.Module) -> Iterator[tuple[str, Any]]:
    """The layers that have an adapter, by name."""
    _peft()
    from peft.tuners.lora import LoraLayer

    for name, module in network.named_modules():
        if isinstance(module, LoraLayer):
            yield name, module


def _fits(layer: nn.Module) -> bool:
    # Subclasses may run otherwise than their weights say, or be built with other arguments.
    if type(layer) is nn.Conv2d:
        plain = layer.groups == 1 and layer.padding_mode == "zeros"
        return plain and set(layer.dilation) == {1}
    return type(layer) is nn.Linear


def _also_learning(
    network: Network, last: nn.Module, settings: AdapterSettings
) -> Iterator[nn.Parameter]:
    """Parameters that learn beside the adapters, each once."""
    found: dict[int, nn.Parameter] = {}
    if settings.norms:
        norms = [module for module in network.modules() if isinstance(module, NORMS)]
        found |= {id(p): p for norm in norms for p in norm.parameters(recurse=False)}
    if settings.last_block:
        found |= {id(p): p for p in last.parameters()}
    yield from found.values()


def _peft() -> tuple[Any, Any]:
    """The two names of peft that are used here, imported where they are needed: it is slow."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise UserError(
            f"train.adapter needs the library peft ({error}); install it with "
            "pip install 'transfer-kit[adapters]', or set train.adapter.rank to 0."
        ) from None
    return inject_adapter_in_model, LoraConfig
