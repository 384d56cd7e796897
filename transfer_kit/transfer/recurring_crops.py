"""Whether the crops of a recipe come again just as they were, so that features can be reused."""

from __future__ import annotations

import copy

from transfer_kit.errors import UserError
from transfer_kit.networks import Network
from transfer_kit.recipe import Recipe
from transfer_kit.transfer.feature_cache import MOST_BYTES_IN_RAM, reusable_blocks
from transfer_kit.transfer.freezing import Freezing


def refuse_changing_features(recipe: Recipe) -> None:
    """Refuse a recipe whose frozen blocks would hardly see the same twice.

    Crops recur on a grid, as they are or mirrored and turned by quarters: eight of each place.

    Raises:
        UserError: what is frozen changes or is nothing, or crops do not recur; with all fields
            that are to be changed.
    """
    if not recipe.freeze or isinstance(recipe.freeze, dict):
        which = "no block is frozen" if not recipe.freeze else "a schedule changes what is frozen"
        raise UserError(
            f"train.cache_features: {which}, so features change as the network learns; freeze "
            "the first blocks throughout (freeze: 2), or set train.cache_features to false."
        )
    changes = list(_changes(recipe))
    if changes:
        raise UserError(
            "train.cache_features: crops must come again as they were, on a grid and at most "
            f"mirrored or turned by quarters; set {', '.join(changes)}, or set "
            "train.cache_features to false."
        )


def describe_cache(network: Network, recipe: Recipe) -> str:
    """What will be kept of each crop and of how many, as a note.

    Args:
        network: Stays as it is.
        recipe: With `train.cache_features`.

    Raises:
        UserError: as `refuse_changing_features`, or the network's features cannot be kept.
    """
    refuse_changing_features(recipe)
    network = copy.deepcopy(network)
    freezing = Freezing(network, recipe.freeze)
    freezing.apply(0)
    blocks = reusable_blocks(network, freezing.frozen_at(0), size_px=recipe.patches.size_px)
    kept = [block for block in blocks if block.is_read]
    size = sum(block.output_bytes for block in kept)
    return (
        f"train.cache_features keeps what {', '.join(block.name for block in kept)} make of a "
        f"crop, {size / 1e6:.1f} MB: of {MOST_BYTES_IN_RAM // size} crops in RAM, or of what half "
        "of a GPU's free memory holds; others are computed each time"
    )


def _changes(recipe: Recipe) -> list[str]:
    """What would have to be set so that crops recur: `field to value (now value)`."""
    patches, augment = recipe.patches, recipe.augment
    wanted: dict[str, tuple[object, object]] = {
        "patches.nucleus_fraction": (patches.nucleus_fraction, 0),
        "augment.rotation_degrees": (0 if augment.quarter_turns else augment.rotation_degrees, 0),
        "augment.shift_um": (augment.shift_um, 0),
        "augment.scale": (list(augment.scale), [1, 1]),
        "augment.elastic_alpha_um": (augment.elastic_alpha_um, 0),
        "stain.augment": (recipe.stain.augment, "none"),
    }
    changes = [
        f"{field} to {value} (now {now})" for field, (now, value) in wanted.items() if now != value
    ]
    if patches.grid_stride_px is None:
        changes.insert(0, f"patches.grid_stride_px to a number such as {patches.size_px // 2}")
    strengths = ("hed_jitter", "hed_offset", "blur_sigma_um", "brightness", "contrast", "noise")
    colours = any(getattr(augment, name) for name in strengths) or augment.jpeg_quality is not None
    if colours and augment.colour_probability:
        changes.append(f"augment.colour_probability to 0 (now {augment.colour_probability:g})")
    return changes
