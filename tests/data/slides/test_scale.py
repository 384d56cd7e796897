import pytest

from transfer_kit.data.slides.scale import stated_mpp


@pytest.mark.parametrize(
    ("side", "unit"),
    [(0.25, "µm"), ("0.25", "micrometer"), (250, "nm"), (2.5e-4, "millimeter"), (2500, "Å")],
)
def test_a_quarter_of_a_micrometre_in_any_unit(side, unit):
    assert stated_mpp(side, side, unit=unit) == pytest.approx(0.25)


def test_the_mean_of_sides_that_nearly_agree():
    assert stated_mpp(0.25, 0.26) == pytest.approx(0.255)
    assert stated_mpp(0.25, 0.27) is None


@pytest.mark.parametrize(
    "side", [None, "", "wide", 0, -0.25, float("nan"), float("inf"), 0.04, 5.1, 352.8, True, [0.25]]
)
def test_what_is_no_scale_of_tissue_is_none(side):
    assert stated_mpp(side, side) is None


def test_an_unknown_unit_is_none():
    assert stated_mpp(0.25, 0.25, unit="pixel") is None
