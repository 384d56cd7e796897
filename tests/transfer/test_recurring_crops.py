"""Which crops come again just as they were, and which recipes are refused for that."""

from __future__ import annotations

import numpy as np
import pytest
from laboratory import BASE, TARGET
from toy import MPP, toy_recipe, toy_samples
from transfer.recurring import recurring

from transfer_kit.data.augment import Augmentation
from transfer_kit.data.image_cache import ImageCache
from transfer_kit.data.patches import PatchSampler
from transfer_kit.errors import UserError
from transfer_kit.plan import make_plan
from transfer_kit.recipe import Recipe
from transfer_kit.transfer.recurring_crops import refuse_changing_features

pytest_plugins = ["lab_fixtures"]


def sampler(**augmentation):
    return PatchSampler(
        ImageCache(toy_samples(2, size=97), MPP),
        size_px=48,
        augmentation=Augmentation(**{"mirror": False, **augmentation}),
        seed=0,
        encode=lambda annotation, size, mpp, rng: np.zeros((1, *size), np.float32),
        indices=(0, 1, 1),
        grid_stride_px=24,
    )


@pytest.mark.parametrize(
    ("augmentation", "turns"),
    [
        ({}, 1),
        ({"mirror": True}, 2),
        ({"quarter_turns": True}, 4),
        ({"quarter_turns": True, "mirror": True}, 8),
    ],
)
def test_patches_have_the_same_crop_exactly_where_they_are_the_same_picture(augmentation, turns):
    places, patches = 3 * 3, sampler(**augmentation)
    pictures, crops = {}, {}
    for number in range(1200):
        patch = patches.patch(number)
        pictures.setdefault(patch.crop, set()).add(patch.image.tobytes())
        crops.setdefault(patch.image.tobytes(), set()).add(patch.crop)
    assert all(len(same) == 1 for same in (*pictures.values(), *crops.values()))
    assert len(pictures) == 2 * places * turns


@pytest.mark.parametrize(
    "augmentation",
    [
        {"rotation_degrees": 20},
        {"scale": (0.9, 1.1)},
        {"elastic_alpha_um": 1.0},
        {"quarter_turns": True, "scale": (1.2, 1.3)},
    ],
)
def test_a_patch_whose_pixels_are_interpolated_is_no_crop(augmentation):
    patches = sampler(**augmentation)
    assert all(patches.patch(number).crop is None for number in range(5))


# ---- recipes ----


def recipe_of(**fields):
    return toy_recipe(**{"base": "toy", "freeze": 2, **recurring(), **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"augment.mirror": False},
        {"augment.quarter_turns": False, "augment.rotation_degrees": 0},
        {"augment.hed_jitter": 0.1, "augment.colour_probability": 0},
        {"freeze": ("input", "down1")},
    ],
)
def test_crops_that_recur_are_accepted(fields):
    refuse_changing_features(recipe_of(**fields))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"patches.grid_stride_px": None}, "patches.grid_stride_px to a number such as 32"),
        ({"patches.nucleus_fraction": 0.5}, "patches.nucleus_fraction to 0 (now 0.5)"),
        ({"augment.quarter_turns": False}, "augment.rotation_degrees to 0 (now 180)"),
        ({"augment.shift_um": 2}, "augment.shift_um to 0 (now 2.0)"),
        ({"augment.scale": [0.9, 1]}, "augment.scale to [1, 1] (now [0.9, 1.0])"),
        ({"augment.elastic_alpha_um": 0.5}, "augment.elastic_alpha_um to 0 (now 0.5)"),
        ({"augment.colour_probability": 0.5}, "augment.colour_probability to 0 (now 0.5)"),
        ({"stain.augment": "jitter"}, "stain.augment to none (now jitter)"),
    ],
)
def test_whatever_changes_crops_is_refused_by_its_field_alone(fields, said):
    with pytest.raises(UserError) as refused:
        refuse_changing_features(recipe_of(**fields))
    assert str(refused.value) == (
        "train.cache_features: crops must come again as they were, on a grid and at most mirrored "
        f"or turned by quarters; set {said}, or set train.cache_features to false."
    )


def test_all_that_is_to_be_changed_is_said_at_once():
    with pytest.raises(UserError) as refused:
        refuse_changing_features(toy_recipe(base="toy", freeze=2))
    fields = ["grid_stride_px", "rotation_degrees", "scale", "elastic_alpha_um", "colour_prob"]
    assert all(field in str(refused.value) for field in fields)


@pytest.mark.parametrize(
    ("freeze", "said"), [(0, "no block is frozen"), ({0: 2, 5: 0}, "a schedule changes")]
)
def test_features_that_change_with_the_weights_are_refused(freeze, said):
    with pytest.raises(UserError, match=f"train.cache_features: {said}.*freeze: 2"):
        refuse_changing_features(recipe_of(freeze=freeze))


# ---- plans ----


def plan_of(**fields):
    fields = {**recurring(), "train": {"cache_features": True}, **fields}
    return make_plan(Recipe(**{"base": BASE, "target": TARGET, "freeze": 2, **fields}))


def test_a_plan_says_what_is_kept_of_a_crop(lab):
    # Four and eight filters in float32 at 64 and 32 pixels.
    size = 4 * (4 * 64**2 + 8 * 32**2)
    (note,) = (note for note in plan_of().notes if "cache_features" in note)
    assert note.startswith(
        f"train.cache_features keeps what input, down1 make of a crop, {size / 1e6:.1f} MB: of "
        f"{2 * 1024**3 // size} crops in RAM"
    )


def test_a_plan_refuses_what_cannot_be_kept_and_leaves_it_out_without_a_base(lab):
    with pytest.raises(UserError, match="grid_stride_px"):
        plan_of(patches={"size_px": 64})
    with pytest.raises(UserError, match="comes after one that learns"):
        plan_of(freeze=("up4",))
    plan = plan_of(base="none")
    assert not plan.recipe.train.cache_features
    assert any(note.startswith("train.cache_features is left out") for note in plan.notes)
