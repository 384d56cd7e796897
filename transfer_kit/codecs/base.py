"""What every codec offers, and where codecs are found by name."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.errors import UserError, nearest_hint

Maps = NDArray[np.float32]


class Codec(Protocol):
    """Turns labels into target maps, judges a network's maps, turns maps into nuclei.

    A codec is a frozen dataclass of numbers in µm, so that one serves every magnification, and
    `dataclasses.asdict` writes it into a detector's card. Whatever non-linearity its target
    needs (sigmoid, softmax), it applies itself: networks are linear at their end.

    Four more are optional. `variants()` gives the codec itself and others that differ in how
    they decode alone, which calibration compares on labelled images. `at_step(step)` gives the
    codec whose loss counts from that step of the training on. `reach_um` tells how far outside a
    crop a nucleus may lie and still change its target. `settled(target, unknown_um)` tells which
    pixels of a target `(H, W)` would stay as they are whatever unannotated nuclei there were,
    where `unknown_um` `(H, W)` is how far at least each pixel is from a place for one.

    Attributes:
        name: As registered.
        classes: Class names; `("",)` is one map for all nuclei.
        threshold: Score below which `decode` drops a nucleus by default; chosen on validation.
    """

    name: ClassVar[str]

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; `("",)` is one map for all nuclei."""

    @property
    def threshold(self) -> float:
        """Score below which a nucleus is dropped in everyday use."""

    @property
    def channels(self) -> int:
        """Maps that the network must have at its end."""

    def encode(
        self,
        annotation: Annotation,
        size: tuple[int, int],
        mpp: float,
        rng: np.random.Generator | None = None,
    ) -> Maps:
        """Target maps `(K, H, W)` of one image or crop, in NumPy and OpenCV alone.

        Args:
            annotation: Its points may lie outside the crop, and count where they reach in.
            size: Height and width in pixels.
            mpp: µm per pixel.
            rng: Of whatever is drawn anew at each look; a codec that draws nothing ignores it, and
                one that does draws from seed 0 without it.
        """

    def loss(self, output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """One loss an image `(B,)`, in float32 also under autocast.

        Args:
            output: The network's maps `(B, channels, H, W)`.
            target: From `encode`, `(B, K, H, W)`; K may differ from `channels`.
            weight: `(B, 1, H, W)`, at least 0; a pixel of weight 0 (outside the labelled
                region) gives exactly zero loss and gradient. Normalised by its sum.
        """

    def decode(self, output: Maps, mpp: float, *, threshold: float | None) -> Nuclei:
        """Nuclei in the network's maps `(channels, H, W)` of one image.

        Args:
            output: Of the whole image, as float32.
            mpp: µm per pixel.
            threshold: Lowest score that is kept; None keeps all candidates, for calibration.
        """


C = TypeVar("C", bound=type[Codec])

_CODECS: dict[str, type[Codec]] = {}


def register(codec: C) -> C:
    """Make a codec class known to `build_codec` under its `name`."""
    if codec.name in _CODECS:
        raise ValueError(f"two codecs are named {codec.name!r}")
    _CODECS[codec.name] = codec
    return codec


def codec_names() -> tuple[str, ...]:
    """The names that `build_codec` knows."""
    return tuple(sorted(_CODECS))


def build_codec(name: str, **options: Any) -> Codec:
    """A codec by name; `options` are the fields of its dataclass, as `asdict` gives them.

    Raises:
        UserError: Unknown name, unknown option, or a value that the codec refuses.
    """
    if name not in _CODECS:
        raise UserError(f"There is no codec {name!r}. {nearest_hint(name, _CODECS)}")
    codec: Any = _CODECS[name]
    known = {field.name for field in dataclasses.fields(codec) if field.init}
    for option in options:
        if option not in known:
            raise UserError(
                f"The codec {name!r} has no option {option!r}. {nearest_hint(option, known)}"
            )
    built: Codec = codec(**options)
    return built


def points_of_class(
    annotation: Annotation, name: str, *, classes: tuple[str, ...], ignore_others: bool
) -> NDArray[np.float32]:
    """Centres `(N, 2)` that belong on the map of class `name`.

    A codec with classes `("",)` takes every nucleus, whatever its class.

    Raises:
        UserError: A nucleus has a class that the codec does not know, unless `ignore_others`.
    """
    if classes == ("",):
        return annotation.points
    unknown = set(annotation.classes).difference(classes)
    if unknown and not ignore_others:
        word = min(unknown)
        raise UserError(
            f"A nucleus is annotated as {word!r}, which is not one of the detector's classes; "
            f"name all classes, or set ignore_other_classes to treat it as background. "
            f"{nearest_hint(word, classes)}"
        )
    return annotation.points[np.fromiter((c == name for c in annotation.classes), np.bool_)]


NUCLEUS_REACH_UM = 5.0
"""Beyond this from its centre, a nucleus has hardly a pixel."""


def by_having_a_name(
    annotation: Annotation, classes: tuple[str, ...]
) -> tuple[Annotation, NDArray[np.float32]]:
    """The centres of named nuclei with their classes, and those `(N, 2)` of unknown class.

    A codec whose classes hold `""` asks for no name, so that it knows them all.
    """
    if "" in classes or "" not in annotation.classes:
        return annotation, np.zeros((0, 2), np.float32)
    has_name = np.array([name != "" for name in annotation.classes], np.bool_)
    names = tuple(name for name in annotation.classes if name)
    return Annotation(annotation.points[has_name], names), annotation.points[~has_name]


def check_classes(codec: object, classes: object) -> tuple[str, ...]:
    """Class names as a tuple; a UserError unless they are different words in a list."""
    words = tuple(classes) if isinstance(classes, (list, tuple)) else ()
    if not words or len(set(words)) < len(words) or not all(isinstance(w, str) for w in words):
        raise UserError(
            f"The option 'classes' of the codec {_name(codec)!r} must be a list that names each "
            f"class once, but got {classes!r}."
        )
    return words


def check_numbers(codec: object, **lowest: float) -> None:
    """Raise a UserError unless each named field is a finite number of at least its bound.

    A length (a name that ends in `_um`) with bound 0 must be above it.
    """
    for option, bound in lowest.items():
        value = getattr(codec, option)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        length = option.endswith("_um") and bound == 0
        if not number or not np.isfinite(value) or value < bound or (length and value == 0):
            need = "above 0" if length else f"of at least {bound:g}"
            raise UserError(
                f"The option {option!r} of the codec {_name(codec)!r} must be a number {need}, "
                f"but got {value!r}."
            )


def _name(codec: object) -> str:
    return str(getattr(codec, "name", type(codec).__name__))
