from __future__ import annotations

from collections import Counter

import pytest
import timm
import torch

from transfer_kit.networks.timm_encoder import (
    EncoderPart,
    build_encoder,
    encoder_tensors,
    has_attention,
    levels_of,
    parts_of,
)


@pytest.mark.parametrize(
    ("name", "strides"),
    [("resnet10t", [2, 4, 8, 16, 32]), ("test_convnext", [4, 8, 16, 32]), ("test_vit", [16] * 4)],
)
def test_levels_are_each_stride_or_four_depths_of_tokens(name, strides):
    assert [level.reduction for level in levels_of(build_encoder(name, {}))] == strides


@pytest.mark.parametrize("name", ["resnet10t", "test_vit", "test_convnext", "test_efficientnet"])
def test_each_parameter_is_in_exactly_one_part(name):
    encoder = build_encoder(name, {})
    parts = parts_of(encoder, [level.module for level in levels_of(encoder)])
    assert list(parts) == ["stem", *(f"stage{number}" for number in range(1, len(parts)))]
    held = Counter(
        id(p) for part in parts.values() for p in EncoderPart(encoder, *part).parameters()
    )
    assert set(held.values()) == {1}
    assert set(held) == {id(p) for p in encoder.parameters()}


@pytest.mark.parametrize(
    ("name", "attends"),
    [("test_vit", True), ("test_resnet", False), ("test_convnext", False)],
)
def test_attention_is_told_by_the_layers_names(name, attends):
    assert has_attention(build_encoder(name, {})) is attends


def test_published_tensors_lose_their_classifier_alone():
    torch.manual_seed(1)
    published = timm.create_model("test_resnet", num_classes=7).state_dict()
    encoder = build_encoder("test_resnet", {})
    kept = encoder_tensors(encoder, published)
    left = {name for name in published if name not in kept}
    assert {name.split(".")[0] for name in left if not name.endswith("num_batches_tracked")} == {
        "fc" if "fc.weight" in published else "head"
    }
    assert all(torch.equal(kept[name], published[name]) for name in kept)
