"""Codecs of probabilities, whose nuclei are pieces of foreground: semantic and concentric."""

from __future__ import annotations

from transfer_kit.codecs import ConcentricCodec, SemanticCodec
from transfer_kit.exporting.decoding.description import Number, background, maps_of
from transfer_kit.exporting.decoding.hills import STEPS, separate_steps
from transfer_kit.exporting.decoding.peaks import POINTS, WHOLE, Parts


def semantic(codec: SemanticCodec, mpp: float) -> Parts:
    """Of `SemanticCodec.decode`."""
    softmax = codec.activation == "softmax"
    last = codec.channels - 1
    activation = f"softmax over maps 0 to {last}" if softmax else "sigmoid"
    maps = [background(activation)] if softmax else []
    maps += maps_of(
        codec.classes,
        first=int(softmax),
        meaning="that the pixel is of a nucleus of class {}",
        activation=activation,
        unit="probability",
    )
    numbers: dict[str, Number] = {"foreground": codec.foreground}
    steps = [
        f"p is the {'softmax' if softmax else 'sigmoid'} of the maps, and q at a pixel "
        + ("1 - p of map 0." if softmax else "its highest p."),
    ]
    if codec.postprocess == "components":
        steps.append(
            "A nucleus is a piece of the pixels with q > foreground that touch, also at a corner."
        )
    else:
        numbers |= {"levels": STEPS, "dynamics": int(codec.dynamics * STEPS + 1e-6)}
        steps += separate_steps(height="q")
    steps.append(
        "It lies at the mean x and y of its pixels; its score is the mean of q over them, and its "
        "class that whose p has the highest sum there."
    )
    return maps, numbers, steps, WHOLE


def concentric(codec: ConcentricCodec, mpp: float) -> Parts:
    """Of `ConcentricCodec.decode`."""
    activation = f"softmax over maps 0 to {codec.channels - 1}"
    maps = [background(activation)]
    maps += maps_of(
        codec.classes,
        first=1,
        meaning="that the pixel is of a nucleus of class {}",
        activation=activation,
        unit="probability",
    )
    numbers: dict[str, Number] = {
        "smoothing_px": codec.smoothing_um / mpp,
        "binarisation": codec.binarisation,
        "min_area_px": codec.min_area_um2 / mpp**2,
    }
    steps = ["p is the softmax of the maps, and q at a pixel 1 - p of map 0."]
    if codec.smoothing_um:
        steps.append(
            "Smooth q by a Gaussian of standard deviation smoothing_px, cut off at four of them; "
            "beyond its border the image is mirrored at its outermost pixels, which are not "
            "repeated."
        )
    if codec.binarisation == "otsu":
        steps.append(
            "The foreground is where q is above (t + 0.5) / 255, where t is the lowest threshold "
            "that Otsu's method finds for q · 255, rounded, over the whole image; if that is the "
            "same number everywhere there is none."
        )
    else:
        steps.append("The foreground is where q > binarisation.")
    steps += [
        "A nucleus is a piece of foreground pixels that touch, also at a corner, of more than "
        "min_area_px pixels.",
        "It lies at the mean x and y of its pixels; its score is the mean of q over them, and its "
        "class that whose p has the highest sum there.",
    ]
    return maps, numbers, steps, WHOLE if codec.shape == "ellipse" else POINTS
