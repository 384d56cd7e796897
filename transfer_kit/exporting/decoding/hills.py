"""Hills of a map that are separated by a watershed: the distance codec, and what it shares."""

from __future__ import annotations

from transfer_kit.codecs import DistanceCodec
from transfer_kit.exporting.decoding.description import Number, background, maps_of
from transfer_kit.exporting.decoding.peaks import WHOLE, Parts

STEPS = 255
"""In which maps between 0 and 1 are post-processed."""


def separate_steps(*, height: str) -> list[str]:
    """How a watershed separates the hills of a map, with `foreground`, `levels` and `dynamics`.

    Args:
        height: The map's name in other steps.
    """
    return [
        f"L is levels · {height}, clipped to 0 to 255 and rounded (halves to the even number); the "
        f"foreground is where {height} > foreground. Neighbours are eight throughout.",
        "Seeds are the regional maxima of L's reconstruction by dilation from L - dynamics (of L "
        "itself where dynamics is 0) that lie in the foreground; touching pixels are one seed.",
        "A watershed of 255 - L from the seeds gives the pixels of the foreground to nuclei, one a "
        "seed; pieces of foreground without a seed are none. Of equally deep seeds the first row "
        "by row is flooded first: the n-th of N pixels of seeds has 255 - L + n / (2 · N).",
    ]


def distance(codec: DistanceCodec, mpp: float) -> Parts:
    """Of `DistanceCodec.decode`."""
    softmax, raw = codec.target == "softmax", codec.target == "raw"
    last = codec.channels - 1
    levels = 1 if raw else STEPS
    numbers: dict[str, Number] = {
        "foreground": codec.foreground,
        "levels": levels,
        "dynamics": int(codec.dynamics * levels + 1e-6),
        "score_per_height": codec.unit_um if raw else 1.0,
    }
    activation = f"softmax over maps 0 to {last}" if softmax else "none"
    maps = [background(activation)] if softmax else []
    maps += maps_of(
        codec.classes,
        first=int(softmax),
        meaning="how deep the pixel lies in a nucleus of class {}, by the chessboard distance to "
        "what is outside" + ("" if raw else ", as a share of the nucleus's greatest"),
        activation=activation,
        unit=f"{codec.unit_um / mpp:g} px" if raw else "share",
    )
    heights = f"softmax of maps 0 to {last}, without map 0" if softmax else "maps"
    steps = [
        f"h at a pixel is the highest of the {heights}.",
        *separate_steps(height="h"),
        "A nucleus lies at the mean x and y of its pixels; its score is its highest h · "
        "score_per_height, and its class that whose map (after the activation) has the highest sum "
        "there.",
    ]
    return maps, numbers, steps, WHOLE
