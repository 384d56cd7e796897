import pytest

from transfer_kit.data.slides.pyramid import downsample_of


@pytest.mark.parametrize(
    ("size", "finest", "expected"),
    [
        ((62, 75), (250, 300), 4),
        ((31, 37), (250, 300), 8),
        ((8228, 11500), (32914, 46000), 4),
        ((8229, 11500), (32914, 46000), 4),  # rounded up
        ((1783, 2221), (3567, 4443), 2),
        ((1, 1), (250, 300), 250 / 2 + 300 / 2),
        ((100, 160), (250, 400), 2.5),
    ],
)
def test_lower_resolutions_are_whole_multiples_where_their_sides_allow_it(size, finest, expected):
    assert downsample_of(size, finest) == pytest.approx(expected, rel=0.01)
    if expected in (2, 4, 8):
        assert downsample_of(size, finest) == expected


@pytest.mark.parametrize(
    ("size", "finest"),
    [
        ((463, 387), (2967, 2220)),  # the label of CMU-1-Small-Region
        ((431, 1280), (2967, 2220)),  # its macro
        ((250, 300), (250, 300)),
        ((500, 600), (250, 300)),
        ((125, 300), (250, 300)),
        ((0, 10), (250, 300)),
    ],
)
def test_labels_macros_and_second_planes_are_none(size, finest):
    assert downsample_of(size, finest) is None
