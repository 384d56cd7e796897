"""Foreground probabilities: U-Net and FCN, with or without DIST's post-processing (paper 003)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from transfer_kit.codecs.base import (
    NUCLEUS_REACH_UM,
    Maps,
    check_classes,
    check_numbers,
    register,
)
from transfer_kit.codecs.distance import softmax
from transfer_kit.codecs.instances import (
    Instances,
    class_map,
    instance_map,
    nuclei_of,
    refuse_not_finite,
)
from transfer_kit.codecs.watershed import separate
from transfer_kit.data.annotation import Annotation
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.errors import UserError, nearest_hint

_STEPS = 255  # in which probabilities are post-processed, as in the paper
_DYNAMICS = tuple(step / _STEPS for step in range(6, 13))
_OPTIONS = {"activation": ("softmax", "sigmoid"), "postprocess": ("components", "dynamics")}


@register
@dataclass(frozen=True, kw_only=True)
class SemanticCodec:
    """Whether each pixel belongs to a nucleus, as a probability.

    The classification loss of paper 003 (section IV-B, Eq. 2). Decoding is plain, each 8-connected
    piece of foreground a nucleus ("U-Net", "FCN"), or DIST's section IV-D on the probabilities
    ("U-Net + PP", "FCN + PP"), for which they are rounded to 1/255, the steps in which the paper
    counts p1. p1 is then chosen by AJI on validation among `variants`, those of its table I.

    The centre of a nucleus is its centroid, its score the mean probability of its pixels.

    Attributes:
        classes: Told apart by their own channels; `("",)` is one for all nuclei.
        activation: `"softmax"` over background and classes (two channels for one class, f₂ of the
            paper), or `"sigmoid"`, a channel a class, as many as codecs of points have.
        postprocess: `"components"` or `"dynamics"`.
        dynamics: p1 of Eq. 4, of probabilities; the default is what the paper chose for U-Net.
        foreground: p2: pixels above it belong to nuclei.
        threshold: Nuclei with a lower score are dropped.
        ignore_other_classes: Nuclei of classes not listed are background rather than an error.

    Example:
        >>> codec = SemanticCodec()
        >>> square = np.zeros((7, 9), np.int32)
        >>> square[2:5, 2:5] = 1
        >>> annotation = Annotation([[3, 3]], ("",), instances=square)
        >>> inside = codec.encode(annotation, (7, 9), mpp=0.25)[0]
        >>> codec.decode(np.stack([-9 * inside, 9 * inside - 1]), 0.25, threshold=0.5).points
        array([[3., 3.]], dtype=float32)
    """

    name: ClassVar[str] = "semantic"

    classes: tuple[str, ...] = ("",)
    activation: Literal["softmax", "sigmoid"] = "softmax"
    postprocess: Literal["components", "dynamics"] = "components"
    dynamics: float = 11 / _STEPS
    foreground: float = 0.5
    threshold: float = 0.0
    ignore_other_classes: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", check_classes(self, self.classes))
        check_numbers(self, dynamics=0, foreground=0, threshold=0)
        for option, known in _OPTIONS.items():
            value = getattr(self, option)
            if value not in known:
                raise UserError(
                    f"The option {option!r} of the codec 'semantic' cannot be {value!r}. "
                    f"{nearest_hint(str(value), known)}"
                )

    @property
    def channels(self) -> int:
        """One a class, and one of background before them for `softmax`."""
        return len(self.classes) + (self.activation == "softmax")

    def variants(self) -> tuple[SemanticCodec, ...]:
        """This codec, and with `dynamics` others with the p1 of table I of the paper."""
        if self.postprocess == "components":
            return (self,)
        others = (replace(self, dynamics=p1) for p1 in _DYNAMICS)
        return (self, *(other for other in others if other != self))

    @property
    def reach_um(self) -> float:
        """How far outside a crop the centre of a nucleus may lie whose pixels reach in."""
        return NUCLEUS_REACH_UM

    def encode(
        self,
        annotation: Annotation,
        size: tuple[int, int],
        mpp: float,
        rng: np.random.Generator | None = None,
    ) -> Maps:
        """The class of each pixel as one map `(1, H, W)`: 0 background, k the class k - 1.

        Raises:
            UserError: the annotation has centres alone, or a class that the codec does not know.
        """
        instances = instance_map(annotation, size, codec=self.name)
        classes = class_map(
            annotation, instances, classes=self.classes, ignore_others=self.ignore_other_classes
        )
        return classes.astype(np.float32)[None]

    def settled(self, target: Maps, unknown_um: Maps) -> NDArray[np.bool_]:
        """Pixels of an annotated nucleus, and those too far from any other; see `Codec`."""
        return np.asarray((target[0] > 0) | (unknown_um >= self.reach_um))

    def loss(self, output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Cross-entropy (Eq. 2), its mean over the labelled pixels; see `Codec.loss`.

        Of `sigmoid` that of each channel, summed.
        """
        weight = weight.float()
        # Chosen before anything is computed: outputs that are not finite stay out of the gradient.
        output = torch.where(weight > 0, output.float(), 0.0)
        classes = target[:, 0].long()
        if self.activation == "softmax":
            entropy = functional.cross_entropy(output, classes, reduction="none")
        else:
            inside = functional.one_hot(classes, len(self.classes) + 1)[..., 1:]
            entropy = functional.binary_cross_entropy_with_logits(
                output, inside.permute(0, 3, 1, 2).to(output.dtype), reduction="none"
            ).sum(dim=1)
        labelled = weight.sum(dim=(1, 2, 3)).clamp_min(torch.finfo(torch.float32).tiny)
        return (weight[:, 0] * entropy).sum(dim=(1, 2)) / labelled

    def decode(self, output: Maps, mpp: float, *, threshold: float | None) -> Nuclei:
        """Nuclei with instances; the class is that of the greatest mean probability.

        Raises:
            UserError: The maps are not finite.
        """
        return self.decode_within(output, mpp, threshold=threshold, within=None)

    def rim_um(self) -> float:
        """See `DecodesPieces`: nothing is smoothed."""
        return 0.0

    def pieces(self, output: Maps, mpp: float) -> NDArray[np.bool_]:
        """See `DecodesPieces`: the foreground, and what lies less than p1 below it."""
        inside = self._inside(output, self._probabilities(output))
        if self.postprocess == "components":
            return np.asarray(inside > self.foreground)
        return np.asarray(inside > self.foreground - self.dynamics - 1 / _STEPS)

    def decode_within(
        self, output: Maps, mpp: float, *, threshold: float | None, within: NDArray[np.bool_] | None
    ) -> Nuclei:
        """See `DecodesPieces`."""
        refuse_not_finite(output)
        probability = self._probabilities(output)
        inside = self._inside(output, probability)
        instances = self._instances(inside, within)
        areas = np.bincount(instances.ravel())[1:]
        sums = np.bincount(instances.ravel(), weights=inside.ravel())[1:]
        scores = np.divide(sums, areas, dtype=np.float32, casting="same_kind")
        nuclei = nuclei_of(instances, scores, probability, self.classes)
        return nuclei if threshold is None else nuclei.above(threshold)

    def _inside(self, output: Maps, probability: Maps) -> Maps:
        """Probability `(H, W)` of any class."""
        if self.activation == "softmax":
            return np.asarray(1 - softmax(output)[0], np.float32)
        return np.asarray(probability.max(axis=0), np.float32)

    def _probabilities(self, output: Maps) -> Maps:
        """Of each class `(K, H, W)`."""
        if self.activation == "softmax":
            return softmax(output)[1:]
        return np.asarray(1 / (1 + np.exp(-np.clip(output, -80, 80))), np.float32)

    def _instances(self, inside: Maps, within: NDArray[np.bool_] | None) -> Instances:
        foreground = inside > self.foreground
        if within is not None:
            foreground &= within
        if self.postprocess == "components":
            return np.asarray(
                cv2.connectedComponents(foreground.view(np.uint8), connectivity=8)[1], np.int32
            )
        levels = np.rint(inside * np.float32(_STEPS)).astype(np.uint8)
        # A little more, so that 11 / 255 counts as 11 steps.
        return separate(levels, foreground, dynamics=int(self.dynamics * _STEPS + 1e-6))
