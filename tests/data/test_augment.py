import random

import albumentations
import cv2
import numpy as np
import pytest
from drawn_samples import noise_image, spot_centre, spotted_sample
from shapely.geometry import Point, box
from skimage.color import hed_from_rgb

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.augment import Augmentation, change_colours, jitter_hed
from transfer_kit.data.regions import polygon_mask
from transfer_kit.data.warp import Warp, draw_warp, elastic_field
from transfer_kit.errors import UserError

STRONG = Augmentation(
    rotation_degrees=180, shift_um=5, scale=(0.8, 1.25), elastic_alpha_um=1.5, elastic_sigma_um=6
)  # fmt: skip
COLOURS = Augmentation(
    blur_sigma_um=0.5, jpeg_quality=(40, 90), hed_jitter=0.2, hed_offset=0.02, brightness=0.1,
    contrast=0.2, noise=0.05, colour_probability=1.0,
)  # fmt: skip


def strong_warp(seed, augmentation=STRONG, size=(200, 180), centre=(228.5, 209.0)):
    return draw_warp(
        augmentation, centre=centre, size=size, margin=30, mpp=0.25,
        rng=np.random.default_rng(seed),
    )  # fmt: skip


# Geometry


@pytest.mark.parametrize(
    "augmentation",
    [
        Augmentation(rotation_degrees=180, mirror=False),
        Augmentation(quarter_turns=True),
        Augmentation(mirror=True),
        Augmentation(mirror=False, shift_um=8),
        Augmentation(mirror=False, scale=(0.7, 1.4)),
        Augmentation(mirror=False, elastic_alpha_um=1.5, elastic_sigma_um=6),
        STRONG,
    ],
    ids=["rotation", "quarter turns", "mirror", "shift", "scale", "elastic", "all"],
)
def test_a_bright_spot_stays_under_its_point(augmentation):
    sample = spotted_sample("spots", height=420, width=460)
    distances = []
    for seed in range(12):
        warp = strong_warp(seed, augmentation)
        patch = warp.image(sample.pixels)
        points = warp.annotation(sample.known).points
        points = points[np.all((points > 16) & (points < (163, 183)), axis=1)]
        distances += [np.hypot(*(spot_centre(patch, point) - point)) for point in points]
    assert len(distances) > 50
    assert max(distances) < 0.75
    assert np.mean(distances) < 0.2


def test_points_are_the_inverse_of_the_map_at_the_steepest_elastic_that_is_allowed():
    steep = Augmentation(elastic_alpha_um=2.4, elastic_sigma_um=8.0, rotation_degrees=90)
    rng = np.random.default_rng(0)
    for seed in range(20):
        warp = strong_warp(seed, steep)
        pixels = rng.integers(0, 180, (300, 2))
        positions = warp.source[pixels[:, 1], pixels[:, 0]]
        np.testing.assert_allclose(warp.points(positions), pixels, atol=0.05)


def test_very_many_points_move_as_each_alone():
    warp = strong_warp(1)
    points = np.random.default_rng(0).uniform(150, 280, (70_000, 2)).astype(np.float32)
    moved = warp.points(points)
    assert len(moved) == 70_000
    for k in (0, 33_000, 69_999):
        np.testing.assert_allclose(warp.points(points[k : k + 1])[0], moved[k], atol=1e-4)
    assert warp.points(points[:0]).shape == (0, 2)


def test_an_affine_map_moves_image_and_points_as_albumentations_does():
    sample = spotted_sample("spots", height=300, width=300)
    theirs = albumentations.Compose(
        [albumentations.Affine(rotate=(30, 30), scale=(1.2, 1.2), interpolation=cv2.INTER_CUBIC)],
        keypoint_params=albumentations.KeypointParams(format="xy", remove_invisible=False),
    )
    theirs.transforms[0].p = 1.0
    found = theirs(image=sample.pixels, keypoints=sample.known.points)
    angle = np.deg2rad(30)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    # Albumentations counts angles the other way round, or not, by version: take what it did.
    candidates = [Warp((149.5, 149.5), t / 1.2, (300, 300)) for t in (turn, turn.T)]
    ours = min(
        candidates, key=lambda w: np.abs(w.points(sample.known.points) - found["keypoints"]).max()
    )
    np.testing.assert_allclose(ours.points(sample.known.points), found["keypoints"], atol=0.51)
    inner = np.s_[60:240, 60:240]
    difference = ours.image(sample.pixels)[inner].astype(int) - found["image"][inner]
    assert np.abs(difference).mean() < 2


def test_crops_mirrored_and_turned_by_quarters_are_copies():
    image = noise_image(1, 260, 300)
    window = image[40:140, 70:170]
    copies = {np.rot90(f, k).tobytes() for f in (window, window[:, ::-1]) for k in range(4)}
    seen = set()
    for seed in range(40):
        warp = strong_warp(
            seed, Augmentation(quarter_turns=True), size=(100, 100), centre=(119.5, 89.5)
        )
        seen.add(warp.image(image).tobytes())
    assert seen == copies


def test_labels_move_with_the_image():
    rows, columns = np.mgrid[:420, :460]
    labels = (((rows // 40) + (columns // 40)) % 2).astype(np.uint8)
    for seed in range(5):
        warp = strong_warp(seed)
        moved = warp.labels(labels)
        image = warp.image(np.repeat(labels[..., None] * 255, 3, axis=2))[..., 0]
        assert np.mean((image > 127) == (moved > 0)) > 0.995


def test_instances_keep_to_their_points():
    sample = spotted_sample("spots")
    instances = np.zeros((420, 460), np.int32)
    for k, point in enumerate(np.rint(sample.known.points).astype(int).tolist(), start=1):
        cv2.circle(instances, point, 8, k, -1)
    names = tuple(str(k) for k in range(len(sample.known)))
    known = Annotation(sample.known.points, names, instances=instances)
    for seed in range(6):
        moved = strong_warp(seed).annotation(known)
        assert moved.instances.max() <= len(moved)
        for k, point in enumerate(moved.points, start=1):
            x, y = np.rint(point).astype(int)
            if 0 <= x < 180 and 0 <= y < 200:
                assert moved.instances[y, x] == k
        visible = {int(k) for k in np.unique(moved.instances)} - {0}
        assert all(np.all(moved.points[k - 1] > -45) for k in visible)


def test_polygons_move_as_their_masks_do():
    shapes = [Point(230, 205).buffer(50), box(150.5, 120.5, 290.5, 190.5)]
    masks = [polygon_mask(shape, (420, 460)).astype(np.uint8) for shape in shapes]
    known = Annotation(
        np.array([[230, 205]], np.float32), ("",), outlines=(shapes[0],),
        region_labels=tuple(("tumour", shape) for shape in shapes),
    )  # fmt: skip
    for seed in range(5):
        warp = strong_warp(seed)
        moved = warp.annotation(known)
        assert len(moved.region_labels) == 2
        for (_, region), mask in zip(moved.region_labels, masks, strict=True):
            assert np.mean(polygon_mask(region, (200, 180)) == (warp.labels(mask) > 0)) > 0.99
        outline = polygon_mask(moved.outlines[0], (200, 180))
        assert np.mean(outline == (warp.labels(masks[0]) > 0)) > 0.99


def test_region_labels_out_of_reach_are_dropped():
    known = Annotation(np.zeros((0, 2)), (), region_labels=(("tumour", box(900, 900, 950, 950)),))
    assert strong_warp(0).annotation(known).region_labels == ()


def test_nuclei_in_the_margin_are_kept_and_farther_ones_are_not():
    warp = Warp((49.5, 49.5), np.eye(2), (100, 100), margin=10)
    points = np.array([[-12, 5], [-9, 5], [50, 50], [108, 3], [112, 3]], np.float32)
    moved = warp.annotation(Annotation(points, ("a", "b", "c", "d", "e")))
    assert moved.classes == ("b", "c", "d")


def test_inside_is_where_the_map_meets_the_image():
    warp = Warp((10.0, 10.0), np.eye(2), (41, 41))
    inside = warp.inside((25, 28))
    expected = np.zeros((41, 41), bool)
    expected[10:35, 10:38] = True
    np.testing.assert_array_equal(inside, expected)
    np.testing.assert_array_equal(warp.labels(np.ones((25, 28), np.uint8)) > 0, expected)


def test_tissue_beyond_the_crop_fills_a_rotated_patch():
    # The corners of a turned patch come from the image, not from padding.
    image = np.full((300, 300, 3), 200, np.uint8)
    warp = strong_warp(3, Augmentation(rotation_degrees=45), size=(100, 100), centre=(150, 150))
    assert warp.inside((300, 300)).all()
    np.testing.assert_array_equal(warp.image(image), 200)


def test_an_image_wider_than_opencv_allows_is_read():
    image = np.zeros((40, 40_000, 3), np.uint8)
    image[:, 39_000:] = 77
    warp = Warp((39_500.0, 20.0), np.eye(2) * 0.99, (21, 21))
    np.testing.assert_array_equal(warp.image(image), 77)


@pytest.mark.parametrize("sigma", [2.0, 9.0, 24.0])
def test_elastic_fields_have_the_amplitude_and_smoothness_asked_for(sigma):
    fields = np.stack(
        [
            elastic_field((150, 160), alpha=2.0, sigma=sigma, rng=np.random.default_rng(seed))
            for seed in range(60)
        ]
    )
    lag = int(sigma)
    assert fields.shape == (60, 150, 160, 2)
    np.testing.assert_allclose(fields.std(), 2.0, rtol=0.06)
    # White noise blurred by a Gaussian has autocorrelation exp(−d² / 4σ²).
    correlation = (fields[:, :-lag] * fields[:, lag:]).mean() / (fields**2).mean()
    np.testing.assert_allclose(correlation, np.exp(-0.25), atol=0.05)


# Colours


def test_hed_jitter_that_changes_nothing_returns_the_image():
    image = noise_image(0)
    np.testing.assert_array_equal(jitter_hed(image, np.ones(3), np.zeros(3)), image)


def test_hed_jitter_equals_deconvolution_change_and_return_by_hand():
    image = np.random.default_rng(1).integers(60, 250, (40, 50, 3), dtype=np.uint8)
    factors, offsets = np.array([1.2, 0.8, 1.1]), np.array([0.02, -0.03, 0.01])
    # scikit-image publishes the inverse of its stain matrix, whose rows are not normalised.
    stains = np.linalg.inv(hed_from_rgb)
    lengths = np.linalg.norm(stains, axis=1)
    density = -np.log((image + 1.0) / 256)
    concentrations = density @ hed_from_rgb * lengths
    changed = (concentrations * factors + offsets) / lengths @ stains
    expected = np.clip(np.exp(-changed) * 256 - 1, 0, 255)
    np.testing.assert_allclose(jitter_hed(image, factors, offsets), expected, atol=0.6)


def test_stronger_haematoxylin_darkens_nuclei_more_than_background():
    image = np.array([[[100, 70, 150], [245, 240, 245]]], np.uint8)
    changed = jitter_hed(image, np.array([1.3, 1.0, 1.0]), np.zeros(3)).astype(int)
    darkening = (image - changed).sum(axis=2)[0]
    assert darkening[0] > 40
    assert abs(darkening[1]) < 8


def test_colours_are_a_function_of_the_generator_alone():
    image = noise_image(0, 100, 100)
    first = change_colours(image, COLOURS, mpp=0.25, rng=np.random.default_rng(5))
    other = change_colours(image, COLOURS, mpp=0.25, rng=np.random.default_rng(6))
    again = change_colours(image, COLOURS, mpp=0.25, rng=np.random.default_rng(5))
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.uint8
    assert not np.array_equal(first, other)


def test_no_global_random_state_is_read_or_touched():
    image = noise_image(0, 100, 100)
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    first = change_colours(image, COLOURS, mpp=0.25, rng=np.random.default_rng(5))
    np.random.seed(2)  # noqa: NPY002
    random.seed(2)
    states = np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    again = change_colours(image, COLOURS, mpp=0.25, rng=np.random.default_rng(5))
    strong_warp(0)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(states[0], np.random.get_state()[1])  # noqa: NPY002
    assert states[1] == random.getstate()


def test_without_augmentation_the_image_is_the_same():
    image = noise_image(0)
    changed = change_colours(image, Augmentation.none(), mpp=0.25, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(changed, image)


def test_blur_is_in_micrometres():
    spot = np.zeros((81, 81, 3), np.uint8)
    spot[40, 40] = 255
    blur = Augmentation(blur_sigma_um=1.0, colour_probability=1.0)
    widths = {}
    for mpp in (0.25, 0.5):
        lit = [
            (change_colours(spot, blur, mpp=mpp, rng=np.random.default_rng(k)) > 0).sum()
            for k in range(20)
        ]
        widths[mpp] = np.mean(lit)
    assert widths[0.25] > 1.5 * widths[0.5]


# Settings


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"rotation_degrees": 270}, r"rotation_degrees is 270; use a number from 0 to 180\."),
        ({"hed_jitter": -0.1}, r"hed_jitter is -0\.1; use a number from 0 to 1\."),
        ({"scale": (1.2, 0.8)}, r"scale is \(1\.2, 0\.8\); use two numbers .* the lower first\."),
        ({"jpeg_quality": (0, 90)}, r"jpeg_quality is \(0, 90\); use two numbers from 1 to 100"),
        (
            {"elastic_alpha_um": 5.0, "elastic_sigma_um": 8.0},
            r"elastic_alpha_um is 5\.0 .* can fold the tissue; use at most 2\.4\.",
        ),
    ],
)
def test_a_setting_out_of_range_is_one_sentence(settings, sentence):
    with pytest.raises(UserError, match=sentence):
        Augmentation(**settings)
