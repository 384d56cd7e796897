import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from drawn_samples import DrawnSample, noise_image
from shapely.geometry import Point

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.image_cache import ImageCache
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


def test_an_mpp_within_one_percent_is_left_alone():
    sample = DrawnSample("a", noise_image(0), mpp=0.2527)
    image, _ = ImageCache([sample], 0.2510).get(0)
    np.testing.assert_array_equal(image, sample.pixels)
    assert ImageCache([sample], 0.5).get(0)[0].shape == (61, 76, 3)


def test_an_instance_map_of_another_size_is_refused():
    known = Annotation(np.zeros((0, 2)), (), instances=np.zeros((10, 12), np.int32))
    with pytest.raises(UserError, match=r"a\.png is 150 × 120 pixels, but its instance map is 12"):
        ImageCache([DrawnSample("a", noise_image(0), known)], 0.25)


@pytest.fixture(params=["nameless", "named"])
def kind(request, monkeypatch):
    """How open files are kept: without a name where the system can, else with one (Windows)."""
    if request.param == "named":
        monkeypatch.setattr("transfer_kit.data.shared_arrays.NAMELESS", False)
    elif os.name != "posix":
        pytest.skip("open files keep their names here")
    return request.param


def test_the_file_goes_with_the_cache_and_arrays_stay(kind, tmp_path):
    cache = ImageCache([DrawnSample("a", noise_image(0))], 0.25, folder=tmp_path)
    image, _ = cache.get(0)
    assert len(list(tmp_path.iterdir())) == (kind == "named")
    del cache
    assert list(tmp_path.iterdir()) == []
    np.testing.assert_array_equal(image, noise_image(0))


def test_a_failing_sample_leaves_no_file(kind, tmp_path):
    class Broken(DrawnSample):
        def image(self):
            raise UserError("b.png is damaged.")

    samples = [DrawnSample("a", noise_image(0)), Broken("b", noise_image(1))]
    with pytest.raises(UserError, match="damaged"):
        ImageCache(samples, 0.25, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: full.open("wb"))
    with pytest.raises(UserError, match=r"No space left on device.*set TMPDIR"):
        ImageCache([DrawnSample("a", noise_image(0))], 0.25, folder=tmp_path)


def test_a_folder_that_is_missing_is_one_sentence(kind, tmp_path):
    with pytest.raises(UserError, match=r"cannot be written.*set TMPDIR"):
        ImageCache([], 0.25, folder=tmp_path / "absent")


def test_a_cache_of_no_image_can_be_made_and_sent(kind):
    cache = ImageCache([], 0.25)
    assert len(cache) == 0
    assert len(pickle.loads(pickle.dumps(cache))) == 0


def _sum_of_image(cache, queue):
    queue.put((int(cache.get(0)[0].sum()), os.getpid()))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_read_the_same_pixels_and_leave_the_file(kind, method, tmp_path):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    cache = ImageCache([DrawnSample("a", noise_image(0))], 0.25, folder=tmp_path)
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    workers = [context.Process(target=_sum_of_image, args=(cache, queue)) for _ in range(2)]
    for worker in workers:
        worker.start()
    results = [queue.get(timeout=240) for _ in workers]
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert {total for total, _ in results} == {int(noise_image(0).sum())}
    assert len({process for _, process in results} | {os.getpid()}) == 3
    # The workers that have ended took nothing away, for themselves or for later ones.
    np.testing.assert_array_equal(cache.get(0)[0], noise_image(0))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(cache)).get(0)[0], noise_image(0))


def test_pickling_sends_the_file_and_not_the_pixels(kind):
    cache = ImageCache([DrawnSample("a", noise_image(0, 900, 900))], 0.25)
    sent = pickle.dumps(cache)
    assert len(sent) < 2000
    copy = pickle.loads(sent)
    np.testing.assert_array_equal(copy.get(0)[0], cache.get(0)[0])
    del copy
    np.testing.assert_array_equal(cache.get(0)[0], noise_image(0, 900, 900))


MAKES_A_CACHE = """
import sys, time
from pathlib import Path
from drawn_samples import DrawnSample, noise_image
from transfer_kit.data.image_cache import ImageCache
cache = ImageCache([DrawnSample("a", noise_image(0))], 0.25, folder=Path(sys.argv[1]))
print(int(cache.get(0)[0].sum()), flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(os.name != "posix", reason="open files keep their names here")
def test_a_killed_process_leaves_no_file(tmp_path):
    tests = Path(__file__).parents[1]
    path = os.pathsep.join([str(tests), str(tests.parent)])
    process = subprocess.Popen(
        [sys.executable, "-c", MAKES_A_CACHE, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert int(process.stdout.readline()) == int(noise_image(0).sum())
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []
