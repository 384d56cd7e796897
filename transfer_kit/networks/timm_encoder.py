"""Encoders of timm: built by name, read at several depths, divided into parts."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor, nn

from transfer_kit.errors import UserError, nearest_hint
from transfer_kit.networks.pretrained import from_transformers

NOT_OPTIONS = frozenset(
    (
        *("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path"),
        *("cache_dir", "num_classes", "features_only", "in_chans", "scriptable", "exportable"),
    )
)
"""What this file decides itself; a card must not make timm open files or addresses."""

REBUILT = ("relative_position_index", "attn_mask", "num_batches_tracked")
"""Ends of names that files of other versions of timm have, or have not."""


class Level(NamedTuple):
    """Features that the decoder reads: which of the encoder's, at what stride, made by what."""

    place: int
    reduction: int
    module: str


class EncoderPart(nn.Module):
    """Layers and parameters of an encoder, to be frozen and counted together; it runs nothing."""

    def __init__(self, encoder: nn.Module, modules: Sequence[str], loose: Sequence[str]) -> None:
        super().__init__()
        for name in modules:
            self.add_module(name.replace(".", "/"), encoder.get_submodule(name))
        for name in loose:
            self.register_parameter(name.replace(".", "/"), encoder.get_parameter(name))


def build_encoder(name: str, options: Mapping[str, Any]) -> Any:
    """A fresh encoder without a classifier, for images of any size where it can be."""
    import timm

    if not timm.is_model(name):
        raise UserError(
            f"timm has no encoder {name!r}. {nearest_hint(name, timm.list_models())} Weights of "
            "your own go into the recipe as network.pretrained."
        )
    if unwanted := sorted(NOT_OPTIONS.intersection(options)):
        raise UserError(
            f"encoder_options of the network 'timm_unet' cannot set {unwanted[0]!r}; weights go "
            "into the recipe as network.pretrained."
        )
    layers = _named_layers(options)
    error: Exception | None = None
    for any_size in ({"dynamic_img_size": True}, {"strict_img_size": False}, {}):
        arguments: dict[str, Any] = {**any_size, **layers}
        try:
            built = timm.create_model(name, pretrained=False, num_classes=0, **arguments)
        except (TypeError, AssertionError, RuntimeError, ValueError) as caught:
            error = caught
            continue
        if not hasattr(built, "forward_intermediates"):
            raise UserError(
                f"The encoder {name!r} gives no features of several depths; choose another one, "
                "such as a ResNet, a ConvNeXt or a vision transformer (vit_…)."
            )
        return built
    raise UserError(
        f"The encoder {name!r} cannot be built with encoder_options {dict(options)} ({error}); see "
        "its model card."
    )


def _named_layers(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options whose layers are named, such as `SwiGLUPacked`, with the layers themselves."""
    import timm.layers

    named = dict(options)
    for option, value in options.items():
        if option.endswith("_layer") and isinstance(value, str):
            layer = getattr(timm.layers, value, None) or getattr(nn, value, None)
            made = layer.func if isinstance(layer, partial) else layer
            if isinstance(made, type) and issubclass(made, nn.Module):
                named[option] = layer
    return named


def levels_of(encoder: Any) -> list[Level]:
    """What the decoder reads: each stride from 2 on, or four depths of tokens."""
    info = encoder.feature_info
    found = [
        Level(index, step["reduction"], step["module"])
        for index, step in enumerate(info if isinstance(info, list) else info.get_dicts())
    ]
    if len({level.reduction for level in found}) == 1:
        quarters = {math.ceil(len(found) * quarter / 4) - 1 for quarter in (1, 2, 3, 4)}
        return [found[index] for index in sorted(quarters)]
    return list({level.reduction: level for level in found if level.reduction > 1}.values())


def parts_of(encoder: nn.Module, ends: Sequence[str]) -> dict[str, tuple[list[str], list[str]]]:
    """Modules and loose parameters of the stem and of each stage, which ends with its features.

    Layers are taken to run in the order in which they are registered.
    """
    order = {name: place for place, (name, _) in enumerate(encoder.named_modules())}
    ends = [end for end in ends if end in order]
    last = [max(order[name] for name in order if f"{name}.".startswith(f"{end}.")) for end in ends]
    first = order[ends[0].split(".")[0]] if ends else len(order)
    parts: list[tuple[list[str], list[str]]] = [([], []) for _ in range(len(ends) + 1)]

    def part_of(module: str) -> int:
        place = order[module]
        return 0 if place < first else 1 + min(sum(place > end for end in last), len(ends) - 1)

    def assign(name: str, module: nn.Module) -> None:
        inside = {part_of(f"{name}.{inner}".strip(".")) for inner, _ in module.named_modules()}
        if name and len(inside) == 1:
            parts[inside.pop()][0].append(name)
            return
        loose = [f"{name}.{own}".strip(".") for own, _ in module.named_parameters(recurse=False)]
        parts[part_of(name)][1].extend(loose)
        for child, inner in module.named_children():
            assign(f"{name}.{child}".strip("."), inner)

    assign("", encoder)
    filled = [part for part in parts if list(EncoderPart(encoder, *part).parameters())]
    names = ["stem", *(f"stage{number}" for number in range(1, len(filled)))]
    return dict(zip(names, filled, strict=True))


def published_encoder(name: str, options: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights that timm publishes for an encoder, downloaded.

    Which training of it they come from, its tag says, as in `resnet50.a1_in1k`.
    """
    import timm

    encoder: nn.Module = timm.create_model(name, pretrained=True, **_named_layers(options))
    return encoder.state_dict()


def encoder_tensors(encoder: nn.Module, published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Published tensors under the names of `encoder`, those of a classifier left out.

    Their names are timm's, or those of a vision transformer of the transformers library.
    """
    module = sys.modules[type(encoder).__module__]
    convert = getattr(module, "checkpoint_filter_fn", lambda tensors, _: tensors)
    kept = {name.split(".")[0] for name in encoder.state_dict()}
    return {
        name: tensor
        for name, tensor in convert(dict(from_transformers(published)), encoder).items()
        if name.split(".")[0] in kept and not name.endswith(REBUILT)
    }


def has_attention(encoder: nn.Module) -> bool:
    """Whether any layer that does something attends, after its name or its kind."""
    return any(
        "attn" in word or "attention" in word
        for name, layer in encoder.named_modules()
        if not isinstance(layer, nn.Identity)
        for word in (name.lower(), type(layer).__name__.lower())
    )
