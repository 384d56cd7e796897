import multiprocessing
import os
import pickle
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_samples import DrawnSample, noise_image
from shapely.geometry import Point, box

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.image_cache import ImageCache, resample
from transfer_kit.data.regions import labelled_mask
from transfer_kit.errors import UserError


def test_cached_images_equal_the_decoded_ones():
    samples = [DrawnSample(str(k), noise_image(k, 50 + k, 61)) for k in range(5)]
    cache = ImageCache(samples, 0.25)
    assert len(cache) == 5
    for k, sample in enumerate(samples):
        image, annotation = cache.get(k)
        np.testing.assert_array_equal(image, sample.pixels)
        np.testing.assert_array_equal(annotation.points, sample.known.points)
        assert cache.size(k) == sample.pixels.shape[:2]
        assert not image.flags.writeable
    assert cache.sample_ids == ("0", "1", "2", "3", "4")


def test_instances_and_labelled_regions_come_back():
    instances = np.arange(50 * 61, dtype=np.int32).reshape(50, 61) % 7
    region = Point(30, 20).buffer(15)
    known = Annotation(np.ones((6, 2)), ("",) * 6, instances=instances, labelled_regions=(region,))
    cache = ImageCache([DrawnSample("a", noise_image(0, 50, 61), known)], 0.25)
    np.testing.assert_array_equal(cache.get(0)[1].instances, instances)
    np.testing.assert_array_equal(cache.labelled(0), labelled_mask(known, (50, 61)))


def test_nothing_is_stored_of_an_image_that_is_labelled_throughout():
    assert ImageCache([DrawnSample("a", noise_image(0))], 0.25).labelled(0) is None


@pytest.mark.parametrize("factor", [0.5, 0.43, 1.6, 2.0])
def test_points_stay_on_their_spot_when_resampled(factor):
    point = np.array([[61.3, 40.8]], np.float32)
    rows, columns = np.mgrid[:100, :120]
    light = 250 * np.exp(-((columns - point[0, 0]) ** 2 + (rows - point[0, 1]) ** 2) / 50)
    image = np.repeat(light[..., None], 3, axis=2).astype(np.uint8)
    resized, known = resample(image, Annotation.of_points(point), factor)
    rows, columns = np.mgrid[: resized.shape[0], : resized.shape[1]]
    weight = resized[..., 0].astype(float)
    centre = np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()
    np.testing.assert_allclose(known.points[0], centre, atol=0.05)


def test_halving_takes_means_of_pixels_and_doubling_repeats_instances():
    image = noise_image(3, 40, 60)
    halved, _ = resample(image, Annotation.of_points(np.zeros((0, 2))), 0.5)
    means = image.reshape(20, 2, 30, 2, 3).mean((1, 3))
    np.testing.assert_allclose(halved, means, atol=0.51)

    instances = np.arange(40 * 60, dtype=np.int32).reshape(40, 60)
    known = Annotation(np.zeros((2400, 2)), ("",) * 2400, instances=instances)
    _, doubled = resample(image, known, 2.0)
    np.testing.assert_array_equal(doubled.instances, np.kron(instances, np.ones((2, 2), np.int32)))


def test_polygons_are_resampled_as_areas_of_pixels():
    # Pixels 10 … 19 in both directions; at half the size they are pixels 5 … 9.
    area = box(9.5, 9.5, 19.5, 19.5)
    known = Annotation(
        np.zeros((1, 2)),
        ("",),
        outlines=(area,),
        labelled_regions=(area,),
        region_labels=(("tumour", area),),
    )
    _, halved = resample(noise_image(0, 40, 60), known, 0.5)
    expected = box(4.5, 4.5, 9.5, 9.5)
    assert halved.outlines[0].equals(expected)
    assert halved.labelled_regions[0].equals(expected)
    assert halved.region_labels[0][1].equals(expected)


def test_an_mpp_within_one_percent_is_left_alone():
    sample = DrawnSample("a", noise_image(0), mpp=0.2527)
    image, _ = ImageCache([sample], 0.2510).get(0)
    np.testing.assert_array_equal(image, sample.pixels)
    assert ImageCache([sample], 0.5).get(0)[0].shape == (61, 76, 3)


def test_an_instance_map_of_another_size_is_refused():
    known = Annotation(np.zeros((0, 2)), (), instances=np.zeros((10, 12), np.int32))
    with pytest.raises(UserError, match=r"a\.png is 150 × 120 pixels, but its instance map is 12"):
        ImageCache([DrawnSample("a", noise_image(0), known)], 0.25)


def test_the_file_is_removed_with_the_cache(tmp_path):
    cache = ImageCache([DrawnSample("a", noise_image(0))], 0.25, folder=tmp_path)
    image, _ = cache.get(0)
    assert len(list(tmp_path.iterdir())) == 1
    del cache
    assert list(tmp_path.iterdir()) == []
    np.testing.assert_array_equal(image, noise_image(0))


def test_a_failing_sample_leaves_no_file(tmp_path):
    class Broken(DrawnSample):
        def image(self):
            raise UserError("b.png is damaged.")

    samples = [DrawnSample("a", noise_image(0)), Broken("b", noise_image(1))]
    with pytest.raises(UserError, match="damaged"):
        ImageCache(samples, 0.25, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    link = tmp_path / "full.bin"
    link.symlink_to("/dev/full")
    monkeypatch.setattr(tempfile, "mkstemp", lambda **_: (os.open(link, os.O_RDWR), str(link)))
    with pytest.raises(UserError, match=r"No space left on device.*set TMPDIR"):
        ImageCache([DrawnSample("a", noise_image(0))], 0.25, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"cannot be written.*set TMPDIR"):
        ImageCache([], 0.25, folder=tmp_path / "absent")


def _sum_of_image(cache, queue):
    queue.put((int(cache.get(0)[0].sum()), cv2.getNumThreads() >= 0, os.getpid()))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_read_the_same_pixels_and_leave_the_file(method, tmp_path):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {method}")
    cache = ImageCache([DrawnSample("a", noise_image(0))], 0.25, folder=tmp_path)
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    workers = [context.Process(target=_sum_of_image, args=(cache, queue)) for _ in range(2)]
    for worker in workers:
        worker.start()
    results = [queue.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert {total for total, *_ in results} == {int(noise_image(0).sum())}
    assert len({process for *_, process in results}) == 2
    assert cache.path.exists()


def test_pickling_sends_the_path_and_not_the_pixels():
    cache = ImageCache([DrawnSample("a", noise_image(0, 900, 900))], 0.25)
    sent = pickle.dumps(cache)
    assert len(sent) < 2000
    copy = pickle.loads(sent)
    np.testing.assert_array_equal(copy.get(0)[0], cache.get(0)[0])
    del copy
    assert cache.path.exists()
