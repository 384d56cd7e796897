"""Codecs whose nuclei are the local maxima of a map: proximity, KiNet's and objectness."""

from __future__ import annotations

from transfer_kit.codecs import KiNetCodec, ObjectnessCodec, ProximityCodec
from transfer_kit.exporting.decoding.description import MapMeaning, Number, maps_of

Parts = tuple[list[MapMeaning], dict[str, Number], list[str], str]

POINTS = "x, y, score and class of each nucleus"
WHOLE = "x, y, score, class and pixels of each nucleus"

SUBPIXEL = (
    "Move each peak, unless it stands for several pixels whose mean rounds to another than the "
    "first of them, along x and along y by 0.5 · (a - c) / (a - 2 · b + c), at most 0.5 px either "
    "way, where a, b and c are h one pixel before, at and after it; along an axis on which it "
    "touches the border or a - 2 · b + c is not below 0, it stays."
)


def peak_steps(*, height: str) -> list[str]:
    """How local maxima are found in the map h, with `window_px`.

    Args:
        height: How h comes about.
    """
    return [
        height,
        "Candidates are the pixels with h > 0 that no pixel exceeds whose x and y differ by at "
        "most window_px; outside of the image there is nothing.",
        "Candidates that touch, also at a corner, are one peak: it lies at the mean of their x and "
        "y, and its pixel is the first of them, row by row.",
        "Go through the peaks from the highest h on, equal ones by their pixel, row by row, and "
        "drop each that, rounded to whole pixels, differs by at most window_px in x and y from one "
        "that was kept.",
    ]


def proximity(codec: ProximityCodec, mpp: float) -> Parts:
    """Of `ProximityCodec.decode`."""
    last = len(codec.classes) - 1
    reference = codec.scale if codec.relative_to == "scale" else "maximum"
    numbers: dict[str, Number] = {
        "window_px": window_px(codec.min_distance_um, mpp),
        "reference": reference,
        "subpixel": codec.subpixel,
    }
    steps = peak_steps(
        height="h is map 0." if last == 0 else f"h is the highest of maps 0 to {last} at a pixel."
    )
    if codec.subpixel:
        steps.append(SUBPIXEL)
    divisor = "reference" if reference != "maximum" else "the highest h of the image"
    steps.append(
        f"The score of a peak is h at its pixel divided by {divisor}; its class is that of the "
        "highest map there."
    )
    maps = maps_of(
        codec.classes,
        first=0,
        meaning="how near the closest centre of class {} is: "
        f"{codec.scale:g} at a centre, 0 from {codec.radius_um / mpp:g} px on",
        activation="none",
        unit="height",
    )
    return maps, numbers, steps, POINTS


def kinet(codec: KiNetCodec, mpp: float) -> Parts:
    """Of `KiNetCodec.decode` and `KiNetCodec.regions_of`."""
    maps, numbers, steps, nuclei = proximity(codec, mpp)
    first = len(codec.classes)
    if not codec.regions:
        return maps, numbers, steps, nuclei
    last = first + len(codec.regions) - 1
    maps = maps + maps_of(
        codec.regions,
        first=first,
        meaning="that the pixel lies in a region {}",
        activation=f"softmax over maps {first} to {last}",
        unit="probability",
    )
    steps.append(
        f"Beside nuclei: the region of a pixel is that of the highest of maps {first} to {last}."
    )
    return maps, numbers, steps, f"{nuclei}; and the region of each pixel"


def objectness(codec: ObjectnessCodec, mpp: float) -> Parts:
    """Of `ObjectnessCodec.decode`."""
    numbers: dict[str, Number] = {
        "window_px": window_px(codec.min_distance_um, mpp),
        "disc_px": codec.radius_um / mpp,
    }
    maps = [
        MapMeaning(
            channel=0,
            name="objectness",
            meaning="that the pixel lies in a nucleus of any class",
            activation="sigmoid",
            unit="probability",
        )
    ]
    steps = peak_steps(
        height="p is the sigmoid of map 0, and h at a pixel the mean of p over the pixels less "
        "than disc_px from it; beyond its border the image is mirrored at its outermost pixels, "
        "which are not repeated."
    )
    steps.append("The score of a peak is h at its pixel.")
    if codec.channels == 1:
        steps[-1] += f" Its class is {codec.classes[0]!r}."
        return maps, numbers, steps, POINTS
    last = len(codec.classes)
    maps = maps + maps_of(
        codec.classes,
        first=1,
        meaning="that the pixel is of class {}, if it lies in a nucleus",
        activation=f"softmax over maps 1 to {last}",
        unit="probability",
    )
    steps[-1] += (
        f" Its class is that whose p · softmax of maps 1 to {last} has the highest mean at its "
        "pixel, taken as that of p for h."
    )
    return maps, numbers, steps, POINTS


def window_px(min_distance_um: float, mpp: float) -> int:
    """Half of the side of the square within which the highest peak wins, as `decode` rounds it."""
    return max(1, round(min_distance_um / mpp))
