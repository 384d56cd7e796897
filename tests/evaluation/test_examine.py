"""A detector over samples."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from shapely.geometry import box
from toy import MPP, toy_detector, toy_image

from transfer_kit.data.annotation import Annotation
from transfer_kit.evaluation import calibrate, examine


@dataclass
class ToySample:
    known: Annotation
    id: str = "toy"
    case: str = "toy"
    mpp: float = MPP

    def image(self) -> np.ndarray:
        return toy_image(1)[0]

    def annotation(self) -> Annotation:
        return self.known


def test_an_image_with_region_labels_alone_is_passed_over() -> None:
    nothing = Annotation(np.zeros((0, 2), np.float32), ())
    alone = replace(nothing, region_labels=(("tumour", box(0, 0, 9, 9)),))
    samples = [ToySample(alone, id="alone"), ToySample(nothing, id="empty")]
    assert [pair.id for pair in examine(toy_detector(), samples)] == ["empty"]


def test_a_threshold_is_chosen_as_if_images_with_region_labels_alone_were_not_there() -> None:
    nothing = Annotation(np.zeros((0, 2), np.float32), ())
    alone = ToySample(replace(nothing, region_labels=(("tumour", box(0, 0, 9, 9)),)))
    points = toy_image(1)[1]
    known = ToySample(Annotation.of_points(points))
    detector = toy_detector()
    without = calibrate(detector, [known], radius_um=2.0)
    assert calibrate(detector, [known, alone], radius_um=2.0) == without


def test_classes_are_left_out_where_the_detector_knows_none() -> None:
    points = np.array([[5, 5], [9, 9]], np.float32)
    (pair,) = examine(toy_detector(), [ToySample(Annotation(points, ("tumour", "stroma")))])
    assert pair.truth.classes == ("", "")
