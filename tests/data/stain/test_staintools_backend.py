"""The staintools library as another way to find an image's dyes."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest

from transfer_kit.data.stain import StainNormaliser, estimate_stains, find_reference
from transfer_kit.data.stain.vectors import HED, angle_degrees
from transfer_kit.errors import UserError
from transfer_kit.recipe import Recipe

needs_staintools = pytest.mark.skipif(
    importlib.util.find_spec("staintools") is None,
    reason="staintools is not installed (extra [staintools])",
)


def slide(seed: int = 0, side: int = 64) -> np.ndarray:
    """Two dyes in every mixture."""
    rng = np.random.default_rng(seed)
    amounts = rng.gamma(1.5, 0.5, (side, side, 2))
    return (255 * np.exp(-amounts @ HED[[0, 1]])).round().astype(np.uint8)


@needs_staintools
@pytest.mark.parametrize(("method", "degrees"), [("macenko", 1.5), ("vahadane", 3.0)])
def test_staintools_and_the_kit_find_the_same_dyes(method: str, degrees: float) -> None:
    theirs = estimate_stains(slide(), f"staintools-{method}")  # type: ignore[arg-type]
    ours = estimate_stains(slide(), method)  # type: ignore[arg-type]
    assert theirs.note == ""
    for one, other in zip(theirs.pair.matrix, ours.pair.matrix, strict=True):
        assert angle_degrees(one, other) < degrees


@needs_staintools
def test_its_estimates_bring_an_image_to_a_reference() -> None:
    reference = find_reference("tnbc")
    theirs = StainNormaliser("staintools-macenko", reference)(slide())
    ours = StainNormaliser("macenko", reference)(slide())
    assert np.abs(theirs.astype(int) - ours).mean() < 3


def test_without_the_library_its_methods_are_refused_with_the_extra_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "staintools", None)
    with pytest.raises(UserError, match=r"transfer-kit\[staintools\].* or use vahadane\."):
        StainNormaliser("staintools-vahadane", find_reference("tnbc"))
    with pytest.raises(UserError, match=r"transfer-kit\[staintools\].* or use macenko\."):
        estimate_stains(slide(3), "staintools-macenko")


def test_recipes_know_its_methods() -> None:
    recipe = Recipe(target="eye").replaced(**{"stain.normalise": "staintools-vahadane"})
    assert recipe.stain.normalise == "staintools-vahadane"
