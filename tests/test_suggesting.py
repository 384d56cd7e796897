from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from shapely.geometry import box
from toy import MPP, ToySample, toy_detector

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.patches import normalise
from transfer_kit.data.tiles import Window
from transfer_kit.errors import NotFiniteMapsError, UserError
from transfer_kit.suggesting import suggest


class Unread(ToySample):
    """A toy image whose annotation nobody may look at."""

    def annotation(self):
        raise AssertionError("an annotation was looked at")


class Faded(Unread):
    """The same, half of it paler: its nuclei are at the edge of what is found."""

    def image(self):
        image = super().image().astype(float)
        image[:, 48:] = 225 + (image[:, 48:] - 225) * 0.7
        return np.clip(image, 0, 255).astype(np.uint8)


class Blank(Unread):
    """Glass alone."""

    def image(self):
        return np.full((96, 96, 3), 240, np.uint8)


class Partly(ToySample):
    """An image whose left half is labelled."""

    def annotation(self):
        return replace(super().annotation(), labelled_regions=(box(-0.5, -0.5, 47.5, 95.5),))


@cache
def trained():
    """A detector that finds plain toy nuclei."""
    torch.manual_seed(0)
    detector = toy_detector(seed=1)
    samples = [ToySample(number) for number in range(50, 52)]
    card, network = detector.card, detector.network
    images = torch.from_numpy(
        np.stack([normalise(sample.image(), card.mean, card.std) for sample in samples])
    )
    targets = torch.from_numpy(
        np.stack([detector.codec.encode(s.annotation(), (96, 96), MPP) for s in samples])
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    network.train()
    for _ in range(40):
        optimizer.zero_grad()
        detector.codec.loss(network(images), targets, torch.ones(2, 1, 96, 96)).mean().backward()
        optimizer.step()
    network.eval()
    return detector


def ids(suggestions):
    return [each.sample.id for each in suggestions]


def windows(suggestions):
    return [[region.window for region in each.regions] for each in suggestions]


def test_an_image_in_which_the_detector_is_unsure_comes_before_those_it_knows():
    samples = [*(Unread(n) for n in range(3)), Faded(3), Blank(4)]
    whole = suggest(trained(), samples, 5, region_um=None, device="cpu")
    assert ids(whole)[0] == "toy-3"
    assert ids(whole)[-1] == "toy-4"
    assert whole[-1].regions[0].uncertainty < 0.1 * whole[0].regions[0].uncertainty
    assert windows(whole) == [[Window(0, 0, 96, 96)]] * 5
    assert [each.regions[0].rank for each in whole] == [1, 2, 3, 4, 5]


def test_the_region_lies_where_it_is_unsure():
    """Of 24 µm, 48 px: the faded half."""
    (found,) = suggest(trained(), [Unread(0), Faded(3)], 1, region_um=24, device="cpu")
    assert found.sample.id == "toy-3"
    (region,) = found.regions
    assert region.window.x0 >= 24
    assert (region.window.width, region.window.height) == (48, 48)
    inside = (found.doubts.points >= region.window[:2]) & (
        found.doubts.points < np.add(region.window[:2], 48)
    )
    bits = found.doubts.bits[inside.all(axis=1)].sum()
    assert region.uncertainty == pytest.approx(bits / (24e-3**2), rel=0.05)


def test_the_suggestions_are_the_same_each_time_and_in_whatever_order_images_come():
    samples = [Unread(0), Faded(1), Unread(2), Faded(3)]
    first = suggest(trained(), samples, 3, region_um=24, regions_per_image=2, device="cpu")
    again = suggest(trained(), samples[::-1], 3, region_um=24, regions_per_image=2, device="cpu")
    assert ids(first) == ids(again)
    assert [each.regions for each in first] == [each.regions for each in again]
    assert all(len(each.regions) == 2 for each in first)
    ranks = sorted(region.rank for each in first for region in each.regions)
    assert ranks == [1, 2, 3, 4, 5, 6]


def test_what_looks_like_a_labelled_image_is_less_telling():
    twin, other = Faded(3), Faded(5)
    alone = suggest(trained(), [twin, other], 2, region_um=None, device="cpu")
    beside = {
        labelled.id: suggest(
            trained(),
            [twin, other],
            2,
            covered=[ToyTwin(labelled)],
            region_um=None,
            device="cpu",
        )
        for labelled in (twin, other)
    }
    assert alone[0].regions[0].distance is None
    for labelled, rest in ((twin, other), (other, twin)):
        assert ids(beside[labelled.id]) == [rest.id, labelled.id]
        assert beside[labelled.id][1].regions[0].distance < 1


class ToyTwin(ToySample):
    """A labelled image that is nearly the same as another one."""

    def __init__(self, other):
        super().__init__(0)
        self.id, self._twin = f"{other.id}-labelled", other

    def image(self):
        return np.clip(self._twin.image().astype(int) + 1, 0, 255).astype(np.uint8)


def test_of_a_partly_labelled_image_the_labelled_part_alone_is_covered():
    looked_at = []

    class Noted(Partly):
        def annotation(self):
            looked_at.append(self.id)
            return super().annotation()

    samples = [Unread(0), Unread(1)]
    part = suggest(trained(), samples, 2, covered=[Noted(2)], region_um=24, device="cpu")
    whole = suggest(trained(), samples, 2, covered=[ToySample(2)], region_um=24, device="cpu")
    assert looked_at == ["toy-2"]
    assert part[0].regions[0].distance > whole[0].regions[0].distance


def test_a_labelled_region_smaller_than_half_a_window_covers_nothing():
    class Speck(ToySample):
        def annotation(self):
            return Annotation(np.zeros((0, 2)), (), labelled_regions=(box(0, 0, 9, 9),))

    (found,) = suggest(trained(), [Unread(0)], 1, covered=[Speck(2)], region_um=24, device="cpu")
    assert found.regions[0].distance is None


def test_an_image_smaller_than_a_region_is_proposed_whole():
    (found,) = suggest(trained(), [Unread(0)], 1, device="cpu")
    assert found.regions[0].window == Window(0, 0, 96, 96)


def test_progress_tells_each_image():
    told = []
    samples, covered = [Unread(0), Unread(1)], [ToySample(2)]
    suggest(
        trained(),
        samples,
        1,
        covered=covered,
        device="cpu",
        progress=lambda *each: told.append(each),
    )
    assert told == [("toy-2", 0, 3), ("toy-0", 1, 3), ("toy-1", 2, 3)]


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (3, {}, "3 images to label were asked for, but there are only 2 without labels"),
        (0, {}, "At least one image"),
        (1, {"regions_per_image": 0}, "At least one image and one region"),
        (1, {"region_um": 5}, "A region 5 µm wide holds hardly a nucleus; ask for 20 µm or more"),
        (1, {"device": "abacus"}, "The device 'abacus' cannot be used"),
    ],
)
def test_what_cannot_be_suggested_is_told_in_a_sentence(count, options, message):
    with pytest.raises(UserError, match=message):
        suggest(trained(), [Unread(0), Unread(1)], count, **{"device": "cpu", **options})


def test_broken_weights_are_told():
    broken = trained().copy()
    torch.nn.init.constant_(next(broken.network.parameters()), float("nan"))
    with pytest.raises(NotFiniteMapsError):
        suggest(broken, [Unread(0)], 1, device="cpu")
