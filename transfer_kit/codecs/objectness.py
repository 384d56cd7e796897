"""Objectness and conditional classes: the task of SFCN-OPI (Zhou et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from transfer_kit.codecs.base import (
    Maps,
    by_having_a_name,
    check_classes,
    check_numbers,
    points_of_class,
    register,
)
from transfer_kit.codecs.maxima import local_maxima
from transfer_kit.codecs.proximity import stamp_heights
from transfer_kit.data.annotation import Annotation
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.errors import NotFiniteMapsError, UserError


@register
@dataclass(frozen=True, kw_only=True)
class ObjectnessCodec:
    """Whether a pixel lies in a nucleus, and of which class if it does.

    The baseline of papers 000 and 001, which "uses the detection as an object prior to constrain
    the classification" and is "formulated with direct pixel-wise classification" (001): a pixel
    within `radius_um` of a centre is nucleus. Classes are learned where detection already finds a
    nucleus, as P(nucleus) · P(class | nucleus), so that classification teaches detection too. What
    neither paper tells (radius, prior, weights) are options.

    The maps are one logit of objectness, then, with more than one class, one logit a class.

    Attributes:
        classes: `("",)` or a single name is detection alone.
        radius_um: Of the disc that is nucleus around a centre.
        prior: Least P(nucleus) of a pixel from which classes are learned.
        nucleus_weight: Weight of nucleus pixels against background in the objectness loss.
        class_weight: Weight of the classification loss.
        detection_first_steps: Steps before the classes are learned at all ("requires multi-stage
            model training", 001).
        min_distance_um: Half-width of the square within which the best detection wins.
        threshold: Nuclei with a lower score are dropped; a score is the mean objectness of a disc.
        ignore_other_classes: Nuclei of classes not listed are background rather than an error.
    """

    name: ClassVar[str] = "objectness"

    classes: tuple[str, ...] = ("",)
    radius_um: float = 3.0
    prior: float = 0.5
    nucleus_weight: float = 1.0
    class_weight: float = 1.0
    detection_first_steps: int = 0
    min_distance_um: float = 2.0
    threshold: float = 0.5
    ignore_other_classes: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", check_classes(self, self.classes))
        check_numbers(
            self, radius_um=0, prior=0, nucleus_weight=1e-6, class_weight=0,
            detection_first_steps=0, min_distance_um=0, threshold=0,
        )  # fmt: skip
        if self.prior >= 1:
            raise UserError(
                f"The option 'prior' of the codec 'objectness' is a probability below 1, but got "
                f"{self.prior!r}."
            )

    @property
    def channels(self) -> int:
        """The objectness, and with several classes one map each."""
        return 1 + len(self.classes) if len(self.classes) > 1 else 1

    def at_step(self, step: int) -> ObjectnessCodec:
        """This codec with the parts of its loss that count at a step of a training, from 0 on."""
        return replace(self, class_weight=0.0) if step < self.detection_first_steps else self

    @property
    def reach_um(self) -> float:
        """How far outside a crop a nucleus may lie and still change its target."""
        return self.radius_um

    @property
    def seen_um(self) -> float:
        """See `DecodesNearby`: its disc and window, and those of ties that may go before it."""
        return self.radius_um + 4 * self.min_distance_um + 1

    def encode(
        self,
        annotation: Annotation,
        size: tuple[int, int],
        mpp: float,
        rng: np.random.Generator | None = None,
    ) -> Maps:
        """The class of each pixel's nearest centre `(1, H, W)`, counted from 1; 0 is background.

        A nucleus without a class name, where others have one, is nucleus of unknown class: -1.

        Raises:
            UserError: a nucleus has a class that the codec does not know.
        """
        named, unnamed = by_having_a_name(annotation, self.classes)
        groups = [
            points_of_class(
                named, name, classes=self.classes, ignore_others=self.ignore_other_classes
            )
            for name in self.classes
        ]
        if self.classes == ("",):
            groups, numbers = [annotation.points], [1]
        else:
            groups, numbers = [*groups, unnamed], [*self._numbers, -1]
        reach = self.radius_um / mpp
        nearness = np.zeros((len(groups), *size), np.float32)
        for target, points in zip(nearness, groups, strict=True):
            stamp_heights(
                target, points, reach_px=reach, height=lambda distance: (reach - distance).clip(0)
            )
        nearest = np.array(numbers, np.float32)[nearness.argmax(axis=0)]
        return np.where(nearness.max(axis=0) > 0, nearest, np.float32(0))[None]

    def settled(self, target: Maps, unknown_um: Maps) -> NDArray[np.bool_]:
        """Pixels in an annotated nucleus, or out of reach of any other; see `Codec`.

        Where nuclei of several classes overlap, the class of a pixel in one is not looked at.
        """
        return np.asarray((target[0] != 0) | (unknown_um >= self.radius_um))

    @property
    def _numbers(self) -> range:
        return range(1, len(self.classes) + 1)

    def loss(self, output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Cross-entropy of the objectness, and of class and nucleus together; see `Codec.loss`.

        Each is a mean: the first over labelled pixels, the second over those of them that lie in
        a nucleus of known class and whose P(nucleus) is at least `prior`.
        """
        wanted, known = target[:, 0], weight[:, 0].float()
        labelled = known > 0
        # Chosen before the logarithm: an output that is not finite stays out of the gradient.
        objectness = torch.where(labelled, output[:, 0].float(), 0.0)
        nucleus = (wanted != 0).float()
        entropy = functional.binary_cross_entropy_with_logits(objectness, nucleus, reduction="none")
        entropy = entropy * (1 + (self.nucleus_weight - 1) * nucleus)
        loss = _mean(entropy, known)
        if self.channels == 1 or not self.class_weight:
            return loss
        found = objectness.detach().sigmoid() >= self.prior
        counted = labelled & (wanted > 0) & found
        scores = torch.where(counted[:, None], output[:, 1:].float(), 0.0)
        of_class = functional.cross_entropy(
            scores, (wanted.long() - 1).clamp_min(0), reduction="none"
        )
        joint = of_class - functional.logsigmoid(objectness)
        return loss + self.class_weight * _mean(joint, known * counted)

    def decode(self, output: Maps, mpp: float, *, threshold: float | None) -> Nuclei:
        """Local maxima of the mean P(nucleus) in a disc, with the class of the highest mean there.

        Raises:
            UserError: The maps are not finite.
        """
        if not np.isfinite(output).all():
            raise NotFiniteMapsError(
                "The network's maps hold values that are not finite, so no nuclei can be found "
                "in them: its weights are broken, train it anew or use an earlier checkpoint."
            )
        probability = _sigmoid(output[0])
        disc = _disc(self.radius_um / mpp)
        peaks = local_maxima(
            _filtered(probability, disc),
            radius_px=max(1, round(self.min_distance_um / mpp)),
            # A little lower, so that rounding never parts this from choosing by score below.
            floor=(threshold or 0.0) * (1 - 1e-5),
        )
        names = self.classes * len(peaks)
        if self.channels > 1:
            joint = probability * _softmax(output[1:])
            means = np.stack([_filtered(part, disc).ravel()[peaks.pixels] for part in joint])
            names = tuple(self.classes[k] for k in means.argmax(axis=0))
        nuclei = Nuclei(peaks.points, peaks.values, names)
        return nuclei if threshold is None else nuclei.above(threshold)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of each image `(B,)`; 0 where there is no weight."""
    total = weight.sum(dim=(1, 2)).clamp_min(torch.finfo(torch.float32).tiny)
    return torch.where(weight > 0, weight * values, 0.0).sum(dim=(1, 2)) / total


def _disc(radius_px: float) -> NDArray[np.float32]:
    """A disc of mean 1 / area, of the pixels nearer than the radius; at least one."""
    reach = int(np.ceil(radius_px))
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    inside = np.hypot(rows, columns) < radius_px
    disc: NDArray[np.float32] = (inside / inside.sum()).astype(np.float32)
    return disc


def _filtered(image: Maps, kernel: NDArray[np.float32]) -> Maps:
    means: Maps = cv2.filter2D(image, cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT_101)
    return means


def _sigmoid(logits: Maps) -> Maps:
    probability: Maps = (0.5 * (1 + np.tanh(0.5 * logits))).astype(np.float32)
    return probability


def _softmax(logits: Maps) -> Maps:
    raised = np.exp(logits - logits.max(axis=0))
    shares: Maps = raised / raised.sum(axis=0)
    return shares
