"""The images, and the regions in them, whose labels would teach a detector most."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from transfer_kit.data.regions import labelled_mask
from transfer_kit.data.sample import Sample
from transfer_kit.data.tiles import Window
from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.transfer.features import features_at
from transfer_kit.transfer.suggestion import (
    SMALLEST_UM,
    Floats,
    Pick,
    Regions,
    choose_regions,
    describe,
    draw_feature_places,
    standardised,
    uncertainty_in,
    windows_over,
)
from transfer_kit.transfer.uncertainty import Doubts, ScoreScale, Votes, doubts_of, gather_votes
from transfer_kit.wording import counted


@dataclass(frozen=True)
class ProposedRegion:
    """One region to label.

    Attributes:
        rank: Its place in the order of all that are proposed, from 1 on.
        window: In pixels of its sample.
        uncertainty: Bits per mm²: as many nuclei as the detector could toss a coin for.
        distance: In features from the nearest that is labelled or was proposed before, in standard
            deviations; None for the first where nothing is labelled.
    """

    rank: int
    window: Window
    uncertainty: float
    distance: float | None


@dataclass(frozen=True)
class Suggestion:
    """One image to label, and the regions in it, the most telling first.

    Attributes:
        doubts: All places of the image where the detector is unsure.
    """

    sample: Sample
    regions: tuple[ProposedRegion, ...]
    doubts: Doubts


def suggest(
    detector: Detector,
    samples: Sequence[Sample],
    count: int,
    *,
    covered: Sequence[Sample] = (),
    region_um: float | None = 100.0,
    regions_per_image: int = 1,
    seed: int = 0,
    device: str = "auto",
    progress: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> list[Suggestion]:
    """The images to label next, the most telling first; their annotations are not looked at.

    Uncertainty is the entropy of what four views of an image say (`transfer.uncertainty`), and
    diversity the distance of the network's features; `choose_regions` weighs one by the other.
    The result does not depend on the order of `samples`.

    Args:
        detector: That is to be fine-tuned; left as it is.
        samples: To choose from.
        count: Images to choose.
        covered: Images that are labelled already, so that what looks like them is less telling.
            Of those with labelled regions these alone count, unless whole images are proposed.
        region_um: Side of the square regions; None proposes whole images.
        regions_per_image: How many of them in each image; fewer where there is no room.
        seed: Of the places whose features are looked at.
        device: As `Detector.to` takes it.
        progress: Told the image that is begun, how many are done, and how many there are.

    Raises:
        UserError: there are fewer images than asked for, a region would be too small, an image is
            damaged, the device cannot be used, or the detector's weights are broken.
    """
    _refuse_nonsense(len(samples), count, region_um, regions_per_image)
    detector.to(device)
    looking = _Looking(detector, region_um, seed)
    free = sorted(samples, key=lambda sample: sample.id)
    everything = [*covered, *free]
    seen: list[_Seen] = []
    for number, sample in enumerate(everything):
        progress(sample.id, number, len(everything))
        seen.append(looking.at(sample, is_labelled=number < len(covered)))
    labelled, candidates = seen[: len(covered)], seen[len(covered) :]
    scale = ScoreScale.of(detector.card.threshold, (each.votes for each in candidates))
    doubts = [doubts_of(each.votes, scale) for each in candidates]
    regions, known = _regions(free, candidates, labelled, doubts)
    picks = choose_regions(regions, images=count, per_image=regions_per_image, covered=known)
    return _suggestions(free, doubts, regions, picks)


@dataclass(frozen=True, eq=False)
class _Seen:
    """One image: its windows, what they are like, and what the views say."""

    windows: list[Window]
    features: Floats
    votes: Votes


@dataclass(frozen=True)
class _Looking:
    """How each image is looked at."""

    detector: Detector
    region_um: float | None
    seed: int

    def at(self, sample: Sample, *, is_labelled: bool) -> _Seen:
        image = sample.image()
        size = (image.shape[0], image.shape[1])
        windows = self._windows(size, sample.mpp)
        if is_labelled and self.region_um is not None:
            windows = _labelled_part(sample, size, windows)
        # The same places in images of one size, so that equal images are at no distance.
        places = draw_feature_places(size, sample.mpp, np.random.default_rng(self.seed))
        features = features_at(self.detector, image, sample.mpp, places)
        described = describe(features, places, windows)
        votes = Votes(np.zeros((0, 2), np.float32), np.zeros((0, 0)))
        if not is_labelled:
            radius_um = self.detector.card.radius_um
            votes = gather_votes(self.detector, image, sample.mpp, radius_um=radius_um)
        return _Seen(windows, described, votes)

    def _windows(self, size: tuple[int, int], mpp: float) -> list[Window]:
        if self.region_um is None:
            return [Window(0, 0, size[1], size[0])]
        return windows_over(size, math.ceil(self.region_um / mpp))


def _labelled_part(
    sample: Sample, size: tuple[int, int], windows: Sequence[Window]
) -> list[Window]:
    """The windows half of which at least is labelled."""
    known = labelled_mask(sample.annotation(), size)
    return [
        window
        for window in windows
        if known[window.y0 :, window.x0 :][: window.height, : window.width].mean() >= 0.5
    ]


def _regions(
    samples: Sequence[Sample],
    candidates: Sequence[_Seen],
    labelled: Sequence[_Seen],
    doubts: Sequence[Doubts],
) -> tuple[Regions, Floats]:
    """All windows that may be proposed, and the features of those that are labelled."""
    width = candidates[0].features.shape[1]
    parts = [each.features for each in labelled if len(each.features)]
    known = np.concatenate([np.zeros((0, width)), *parts])
    features, known = standardised(np.concatenate([each.features for each in candidates]), known)
    numbers = [np.full(len(each.windows), n) for n, each in enumerate(candidates)]
    uncertainty = [
        uncertainty_in(of_image, each.windows, sample.mpp)
        for sample, each, of_image in zip(samples, candidates, doubts, strict=True)
    ]
    windows = np.concatenate([np.array(each.windows, np.intp) for each in candidates])
    image = np.concatenate(numbers).astype(np.intp)
    return Regions(image, windows, features, np.concatenate(uncertainty)), known


def _suggestions(
    samples: Sequence[Sample], doubts: Sequence[Doubts], regions: Regions, picks: Sequence[Pick]
) -> list[Suggestion]:
    by_image: dict[int, list[ProposedRegion]] = {}
    for rank, pick in enumerate(picks, start=1):
        x0, y0, width, height = regions.windows[pick.index].tolist()
        proposed = ProposedRegion(
            rank,
            Window(x0, y0, width, height),
            float(regions.uncertainty[pick.index]),
            pick.distance,
        )
        by_image.setdefault(int(regions.image[pick.index]), []).append(proposed)
    return [Suggestion(samples[n], tuple(found), doubts[n]) for n, found in by_image.items()]


def _refuse_nonsense(
    n_samples: int, count: int, region_um: float | None, regions_per_image: int
) -> None:
    if min(count, regions_per_image) < 1:
        raise UserError(
            f"At least one image and one region in it can be suggested, but {count} and "
            f"{regions_per_image} were asked for."
        )
    if n_samples < count:
        raise UserError(
            f"{counted(count, 'image')} to label were asked for, but there are only {n_samples} "
            "without labels; ask for fewer, or give more images."
        )
    if region_um is not None and not region_um >= SMALLEST_UM:
        raise UserError(
            f"A region {region_um:g} µm wide holds hardly a nucleus; ask for {SMALLEST_UM:g} µm or "
            "more."
        )
