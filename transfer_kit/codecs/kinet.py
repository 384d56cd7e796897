"""KiNet's task: proximity maps by class, beside regions that are weakly labelled (paper 001)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from transfer_kit.codecs.base import Maps, check_numbers, register
from transfer_kit.codecs.proximity import ProximityCodec
from transfer_kit.data.annotation import Annotation
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.data.regions import region_label_map
from transfer_kit.errors import UserError, nearest_hint


@register
@dataclass(frozen=True, kw_only=True)
class KiNetCodec(ProximityCodec):
    """Proximity maps of nuclei and a score for each class of region, learned together.

    The loss is Eq. 5: γ · (Eq. 2 + η Σ ⟨h_s, h_t⟩) + cross-entropy of the regions (Eq. 4). The
    defaults are the paper's: d = 15 px at .34 µm/px, maps of height 1, γ = 25, η = 1e-6.
    Without `regions` it is the codec of oKiNet, and with `regions_first_steps` that of sKiNet.
    Options that are not named here are those of `ProximityCodec`.

    Attributes:
        regions: Names of the regions, as in `Annotation.region_labels`, one map each after those
            of the nuclei; the network `kinet` has an option `regions` for their number.
        gamma: γ of Eq. 5, the weight of the nuclei against the regions.
        region_weight: Weight of the regions' cross-entropy, 1 in the paper.
        correlation: η of Eq. 3, which keeps the classes' maps from answering to one nucleus.
        correlation_from_step: Step from which on η counts, since the first maps are too large.
        regions_first_steps: Steps in which the regions alone are learned, before the nuclei alone
            (stage-wise training, section IV.D.3); 0 learns both at once.
        ignore_other_regions: Regions that are not listed are unknown rather than an error.

    Example:
        >>> codec = KiNetCodec(classes=("positive", "negative"), regions=("tumour", "stroma"))
        >>> codec.channels
        4
    """

    name: ClassVar[str] = "kinet"

    radius_um: float = 5.1
    scale: float = 1.0
    regions: tuple[str, ...] = ()
    gamma: float = 25.0
    region_weight: float = 1.0
    correlation: float = 1e-6
    correlation_from_step: int = 10_000
    regions_first_steps: int = 0
    ignore_other_regions: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "regions", _checked_regions(self.regions))
        check_numbers(self, gamma=0, region_weight=0, correlation=0)
        for option in ("correlation_from_step", "regions_first_steps"):
            _check_steps(option, getattr(self, option))
        if self.regions_first_steps and not self.regions:
            raise UserError(
                "The codec 'kinet' has 'regions_first_steps' but no 'regions' to learn in them; "
                "name the regions, or leave the steps out."
            )

    @property
    def channels(self) -> int:
        """One map a class, then one a region."""
        return len(self.classes) + len(self.regions)

    def at_step(self, step: int) -> KiNetCodec:
        """This codec with the parts of its loss that count at a step of a training, from 0 on.

        Of stage-wise training, the second stage's own steps count for `correlation_from_step`.
        """
        if step < self.regions_first_steps:
            return replace(self, gamma=0.0, correlation=0.0, regions_first_steps=0)
        early = step - self.regions_first_steps < self.correlation_from_step
        return replace(
            self,
            correlation=0.0 if early else self.correlation,
            region_weight=0.0 if self.regions_first_steps else self.region_weight,
            regions_first_steps=0,
        )

    def encode(
        self,
        annotation: Annotation,
        size: tuple[int, int],
        mpp: float,
        rng: np.random.Generator | None = None,
    ) -> Maps:
        """Eq. 1, one map a class, then the number of each pixel's region, 0 where it is unknown.

        `(K + 1, H, W)`, or `(K, H, W)` without regions; region k is `regions[k - 1]`.

        Raises:
            UserError: a nucleus or a region bears a name that the codec does not know.
        """
        maps = super().encode(annotation, size, mpp, rng)
        if not self.regions:
            return maps
        if not self.ignore_other_regions:
            self._refuse_unknown_regions(annotation)
        labels = region_label_map(annotation, size, self.regions)
        return np.concatenate([maps, labels[None].astype(np.float32)])

    def settled(self, target: Maps, unknown_um: Maps) -> NDArray[np.bool_]:
        """As `ProximityCodec.settled`, of the nuclei; the regions' loss has no part in it."""
        return super().settled(target[: len(self.classes)], unknown_um)

    def loss(self, output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Eq. 5; see `Codec.loss`.

        `weight` is of the nuclei alone: an image with region labels alone has weight 0 everywhere,
        which is 1(y ≠ ∅), and learns from its regions. A pixel of no known region has no part in
        the regions' loss.
        """
        loss = self.gamma * self.nucleus_loss(output, target, weight)
        if self.regions:
            loss = loss + self.region_weight * self.region_loss(output, target)
        return loss

    def nucleus_loss(self, output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Eq. 3 `(B,)`: Eq. 2 (a mean over labelled pixels) and η times the maps' dot products."""
        count = len(self.classes)
        nuclei, wanted = output[:, :count], target[:, :count]
        loss = super().loss(nuclei, wanted, weight)
        if not self.correlation:
            return loss
        return loss + self.correlation * _dot_products(nuclei.float(), weight.float())

    def region_loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Eq. 4 `(B,)`: cross-entropy, a mean over the pixels of known region; 0 without any."""
        count = len(self.classes)
        numbers = target[:, count].long()
        known = numbers > 0
        # Chosen before the softmax: an output that is not finite stays out of the gradient.
        scores = torch.where(known[:, None], output[:, count:].float(), 0.0)
        entropy = functional.cross_entropy(scores, (numbers - 1).clamp_min(0), reduction="none")
        summed = torch.where(known, entropy, 0.0).sum(dim=(1, 2))
        return summed / known.sum(dim=(1, 2)).clamp_min(1)

    def decode(self, output: Maps, mpp: float, *, threshold: float | None) -> Nuclei:
        """Nuclei, as `ProximityCodec.decode` finds them; the regions are `regions_of`.

        What remains of non-maximum suppression in each channel, when a nucleus may have one class
        only, are the local maxima of the highest channel (section III.C).
        """
        return super().decode(output[: len(self.classes)], mpp, threshold=threshold)

    def regions_of(self, output: Maps) -> NDArray[np.uint8]:
        """The likeliest region of each pixel `(H, W)`: k is `regions[k - 1]`, as in `encode`.

        Args:
            output: The network's maps `(channels, H, W)` of an image, as `Detector.maps` gives.

        Raises:
            UserError: the codec knows no regions.
        """
        numbers: NDArray[np.uint8] = self._region_scores(output).argmax(axis=0).astype(np.uint8) + 1
        return numbers

    def region_probabilities(self, output: Maps) -> Maps:
        """Softmax `(R, H, W)` of the regions, of which the paper's heatmap is the tumour's.

        Raises:
            UserError: the codec knows no regions.
        """
        scores = self._region_scores(output)
        raised = np.exp(scores - scores.max(axis=0))
        probabilities: Maps = raised / raised.sum(axis=0)
        return probabilities

    def _region_scores(self, output: Maps) -> Maps:
        if not self.regions:
            raise UserError(
                "This detector tells no regions apart; train one with 'regions' named in its codec."
            )
        return output[len(self.classes) :]

    def _refuse_unknown_regions(self, annotation: Annotation) -> None:
        unknown = {name for name, _ in annotation.region_labels}.difference(self.regions)
        if unknown:
            word = min(unknown)
            raise UserError(
                f"A region is labelled {word!r}, which is not one of the codec's regions; name all "
                f"regions, or set ignore_other_regions to leave it unknown. "
                f"{nearest_hint(word, self.regions)}"
            )


def _dot_products(maps: Tensor, weight: Tensor) -> Tensor:
    """Σ_{s<t} ⟨h_s, h_t⟩ `(B,)` of maps `(B, K, H, W)` over the labelled pixels (Eq. 3).

    A sum over pixels as printed, not a mean: what η = 1e-6 weighs, and why the paper waits for
    maps to settle. Half of the square of the sum less the sum of the squares.

    Only what is positive counts, as in proximity maps, which the paper takes h to be. With linear
    maps the penalty has no lower bound: where an image has no nucleus of a class, Eq. 2 weighs
    that map by 0, so nothing stops it from falling beside another's peaks, and trainings diverge.
    """
    known = torch.where(weight > 0, maps, 0.0).clamp_min(0)
    pairs = known.sum(dim=1, keepdim=True).square() - known.square().sum(dim=1, keepdim=True)
    return 0.5 * (weight * pairs).sum(dim=(1, 2, 3))


def _checked_regions(regions: object) -> tuple[str, ...]:
    names = tuple(regions) if isinstance(regions, (list, tuple)) else None
    sound = names is not None and all(isinstance(name, str) and name for name in names)
    if names is None or not sound or len(set(names)) < len(names):
        raise UserError(
            f"The option 'regions' of the codec 'kinet' must be a list that names each region "
            f"once, but got {regions!r}."
        )
    return names


def _check_steps(option: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UserError(
            f"The option {option!r} of the codec 'kinet' must be a whole number of at least 0, but "
            f"got {value!r}."
        )
