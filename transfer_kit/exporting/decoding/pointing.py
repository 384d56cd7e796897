"""Codecs whose pixels point to where their nucleus is: voting and boxes."""

from __future__ import annotations

from transfer_kit.codecs import BoxesCodec, VotingCodec
from transfer_kit.codecs.boxes import FARTHEST_UM
from transfer_kit.codecs.voting import FARTHEST_RADII
from transfer_kit.exporting.decoding.description import MapMeaning, Number, maps_of
from transfer_kit.exporting.decoding.peaks import (
    POINTS,
    WHOLE,
    Parts,
    peak_steps,
    window_px,
)


def voting(codec: VotingCodec, mpp: float) -> Parts:
    """Of `VotingCodec.decode`."""
    last = len(codec.classes)
    numbers: dict[str, Number] = {
        "vector_px": codec.vector_unit_um / mpp,
        "window_px": window_px(codec.min_distance_um, mpp),
        "score_px": round(codec.score_radius_um / mpp, 6),
        "radius_px": round(codec.radius_um / mpp, 6),
        "farthest_px": FARTHEST_RADII * codec.radius_um / mpp,
        "weighted": codec.weighted,
        "relative_to": codec.relative_to,
        "subpixel": codec.subpixel,
    }
    maps = maps_of(
        codec.classes,
        first=0,
        meaning="that the pixel lies near a nucleus of class {}",
        activation="sigmoid",
        unit="probability",
    ) + _vector(last, unit=f"{codec.vector_unit_um / mpp:g} px")
    if codec.weighted:
        maps.append(
            MapMeaning(
                channel=last + 2,
                name="weight",
                meaning="how many nuclei are near the pixel",
                activation="max(0, 1 + map)",
                unit="nuclei",
            )
        )
    return maps, numbers, _voting_steps(codec, last), POINTS


def _voting_steps(codec: VotingCodec, last: int) -> list[str]:
    weight = f" · max(0, 1 + map {last + 2})" if codec.weighted else ""
    steps = [
        f"The strength of a pixel for class k, from 0 on, is sigmoid(map k){weight}; s is the "
        "highest of its strengths.",
        f"A pixel at x, y points to x + vector_px · map {last}, y + vector_px · map {last + 1}, "
        "and votes with s for the pixel nearest to there (halves go to the even one). Votes of "
        "pixels that point farther than farthest_px are lost, and those for places outside of the "
        "image.",
        *peak_steps(height="h at a pixel is the sum of the votes for it."),
        "A nucleus lies at the pixel of a peak. Its votes are the sum of h over the pixels at most "
        "score_px from there.",
    ]
    steps.append(
        {
            "disk": "Its score is its votes divided by the number of the image's pixels that lie "
            "less than radius_px from its pixel.",
            "maximum": "Its score is its votes divided by the most votes of a nucleus of the "
            "image.",
            "none": "Its score is its votes.",
        }[codec.relative_to]
    )
    if last > 1:
        steps.append(
            "Its class is that with the most votes: those of a class are counted as all are, but "
            "with the strengths for that class in place of s."
        )
    if codec.subpixel:
        steps.append(
            "Then move it to the mean, weighted by s, of the places that the pixels point to which "
            "vote for a pixel at most score_px from its pixel."
        )
    return steps


def boxes(codec: BoxesCodec, mpp: float) -> Parts:
    """Of `BoxesCodec.decode`."""
    last = len(codec.classes)
    radius_px = codec.min_distance_um / mpp
    numbers: dict[str, Number] = {
        "foreground": codec.foreground,
        "blur_px": max(radius_px / 3, 0.5),
        "window_px": max(1, round(radius_px / 2)),
        "farthest_px": FARTHEST_UM / mpp,
        "far_px": 2 * radius_px,
        "min_area_px": codec.min_area_um2 / mpp**2,
    }
    maps = maps_of(
        codec.classes,
        first=0,
        meaning="that the pixel is of a nucleus of class {}",
        activation="sigmoid",
        unit="probability",
    ) + _vector(last, unit="px")
    steps = [
        "s at a pixel is the highest sigmoid of the score maps; the foreground is where s > "
        "foreground.",
        f"A pixel of the foreground at x, y points to the pixel nearest to x + map {last}, y + map "
        f"{last + 1}, each map clipped to -farthest_px to farthest_px (halves go to the even "
        "pixel), or to the nearest at the border of the image.",
        *peak_steps(
            height="h is the number of foreground pixels that point to a pixel, under a Gaussian "
            "of standard deviation blur_px, cut off at four of them; outside of the image it is 0."
        ),
        "Each pixel of the foreground belongs to the peak whose pixel is nearest to where it "
        "points to (distances as OpenCV's 5 x 5 transform has them, straight ones to about 2 %).",
        "Peaks with fewer pixels than min_area_px are dropped, and those with none. Their pixels "
        "go to the nearest remaining peak, if it is at most far_px from where they point to.",
        "Each remaining peak is a nucleus of its pixels: it lies at their mean x and y, its score "
        "is the mean of s over them, and its class that whose sigmoids have the highest sum there.",
    ]
    return maps, numbers, steps, WHOLE


def _vector(first: int, *, unit: str) -> list[MapMeaning]:
    return [
        MapMeaning(
            channel=first + number,
            name=axis,
            meaning=f"how far the centre of its nucleus is from the pixel {way}",
            activation="none",
            unit=unit,
        )
        for number, (axis, way) in enumerate((("x", "to the right"), ("y", "downwards")))
    ]
