from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from transfer_kit.codecs import Codec, ProximityCodec, build_codec, codec_names, register
from transfer_kit.data.annotation import Annotation
from transfer_kit.errors import UserError


def test_a_codec_is_built_by_name_with_its_fields() -> None:
    codec = build_codec("proximity", radius_um=3.0, scale=1.0, decay="reciprocal")
    assert codec == ProximityCodec(radius_um=3.0, scale=1.0, decay="reciprocal")
    assert "proximity" in codec_names()


def test_a_codec_survives_the_card() -> None:
    codec = ProximityCodec(classes=("tumour", "stroma"), subpixel=True, threshold=0.37)
    card = json.loads(json.dumps(asdict(codec)))
    assert build_codec("proximity", **card) == codec


def test_an_unknown_codec_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no codec 'proximty'\. Did you mean 'proximity'\?"):
        build_codec("proximty")


def test_an_unknown_option_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no option 'radius'\. Did you mean 'radius_um'\?"):
        build_codec("proximity", radius=3)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"radius_um": 0}, "'radius_um' .* must be a number above 0, but got 0"),
        ({"radius_um": "3"}, "'radius_um' .* above 0, but got '3'"),
        ({"scale": True}, "'scale' .* but got True"),
        ({"alpha": float("nan")}, "'alpha' .* but got nan"),
        ({"lambda_": -1}, "'lambda_' .* at least 0, but got -1"),
        ({"decay": "exponetial"}, "'decay' .* Did you mean 'exponential'"),
        ({"relative_to": "max"}, "'relative_to' .* cannot be 'max'"),
        ({"classes": "tumour"}, "'classes' .* a list that names each class once, but got 'tumour'"),
        ({"classes": ["a", "a"]}, "'classes' .* each class once"),
        ({"classes": []}, "'classes' .* each class once"),
    ],
)
def test_a_wrong_value_is_refused_in_one_sentence(
    options: dict[str, object], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        build_codec("proximity", **options)


def test_a_nucleus_of_an_unknown_class_is_refused_or_ignored() -> None:
    points = np.array([[3, 3], [9, 9]], np.float32)
    annotation = Annotation(points, ("tumour", "strma"))
    with pytest.raises(UserError, match=r"'strma', which is not one of .* Did you mean 'stroma'"):
        build_codec("proximity", classes=["tumour", "stroma"]).encode(annotation, (16, 16), 0.5)
    codec = build_codec("proximity", classes=["tumour"], radius_um=1, ignore_other_classes=True)
    assert codec.encode(annotation, (16, 16), 0.5)[0, 9, 9] == 0


def test_two_codecs_cannot_share_a_name() -> None:
    with pytest.raises(ValueError, match="two codecs are named 'proximity'"):
        register(ProximityCodec)


def test_a_proximity_codec_keeps_the_protocol() -> None:
    codec: Codec = ProximityCodec(classes=("a", "b", "c"))
    assert codec.channels == 3
