from __future__ import annotations

import numpy as np
import pytest
import torch
from drawn_instances import annotated, same_partition, scattered_discs
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label

from transfer_kit.codecs import DistanceCodec, SemanticCodec, build_codec
from transfer_kit.errors import NotFiniteMapsError, UserError

ACTIVATIONS = ["softmax", "sigmoid"]


def outputs_of(codec: SemanticCodec, shares: NDArray[np.float64]) -> NDArray[np.float32]:
    """Network maps whose probabilities are `shares` `(K, H, W)`."""
    shares = np.clip(shares, 1e-4, 1 - 1e-4)
    if codec.activation == "sigmoid":
        return np.log(shares / (1 - shares)).astype(np.float32)
    background = np.clip(1 - shares.sum(axis=0, keepdims=True), 1e-4, 1)
    return (np.log(np.concatenate([background, shares])) + 0.7).astype(np.float32)


def two_that_touch() -> NDArray[np.int32]:
    rows, columns = np.indices((40, 60))
    instances = np.zeros((40, 60), np.int32)
    for k, x in enumerate((20, 37), start=1):
        instances[np.hypot(rows - 20, columns - x) <= 9] = k
    return instances


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("seed", range(3))
def test_components_are_the_pieces_of_the_mask(activation: str, seed: int) -> None:
    instances = scattered_discs(seed)
    codec = SemanticCodec(activation=activation)  # type: ignore[arg-type]
    mask = codec.encode(annotated(instances), instances.shape, 0.25)
    assert np.array_equal(mask[0], instances > 0)
    nuclei = codec.decode(outputs_of(codec, 0.9 * mask), 0.25, threshold=None)
    pieces, count = label(instances > 0, np.ones((3, 3)))
    assert nuclei.instances is not None
    assert len(nuclei) == count
    assert same_partition(nuclei.instances, pieces.astype(np.int32))
    assert np.allclose(nuclei.scores, 0.9, atol=1e-3)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_postprocessing_parts_what_touches_where_the_probability_falls(activation: str) -> None:
    instances = two_that_touch()
    hills = gaussian_filter(DistanceCodec().encode(annotated(instances), (40, 60), 0.25)[0], 1)
    shares = np.clip(0.55 + 0.05 * hills, 0, 0.98) * (instances > 0)
    plain, parted = (
        SemanticCodec(activation=activation, postprocess=how).decode(  # type: ignore[arg-type]
            outputs_of(SemanticCodec(activation=activation), shares[None]),  # type: ignore[arg-type]
            0.25,
            threshold=None,
        )
        for how in ("components", "dynamics")
    )
    assert (len(plain), len(parted)) == (1, 2)
    assert parted.instances is not None
    for k in (1, 2):
        found = np.bincount(parted.instances[instances == k])
        assert found.max() > 0.95 * found.sum()
        assert found.argmax() > 0
    assert len({int(parted.instances[20, x]) for x in (20, 37)}) == 2


def test_p1_is_counted_in_255ths_and_must_be_exceeded() -> None:
    shares = np.zeros((1, 9, 15))
    shares[0, 4, 1:14] = np.array([140, 170, 200, 220, 215, 209, 200, 205, 211, 205, 190, 160, 140])
    codec = SemanticCodec(postprocess="dynamics")
    # The lower hill is 211, the valley 200: its dynamics are 11.
    found = []
    for steps in (10, 11, 12):
        one = SemanticCodec(postprocess="dynamics", dynamics=steps / 255)
        found.append(len(one.decode(outputs_of(codec, shares / 255), 0.25, threshold=None)))
    assert found == [2, 1, 1]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_classes_are_told_apart_by_their_own_channels(activation: str) -> None:
    instances = np.zeros((20, 40), np.int32)
    instances[4:12, 4:12], instances[6:15, 24:33] = 1, 2
    codec = SemanticCodec(classes=("stroma", "tumour"), activation=activation)  # type: ignore[arg-type]
    annotation = annotated(instances, ("tumour", "stroma"))
    target = codec.encode(annotation, (20, 40), 0.25)
    assert np.array_equal(target[0], 2 * (instances == 1) + (instances == 2))
    shares = np.stack([0.6 * (target[0] == k) + 0.3 * (target[0] == 3 - k) for k in (1, 2)])
    nuclei = codec.decode(outputs_of(codec, shares), 0.25, threshold=None)
    found = dict(zip(nuclei.classes, nuclei.points.tolist(), strict=True))
    assert found == {"tumour": [7.5, 7.5], "stroma": [28, 10]}
    assert codec.channels == (3 if activation == "softmax" else 2)


def test_a_threshold_drops_doubtful_nuclei() -> None:
    shares = np.zeros((1, 12, 30))
    shares[0, 3:8, 3:8], shares[0, 3:8, 20:25] = 0.9, 0.6
    codec = SemanticCodec()
    nuclei = codec.decode(outputs_of(codec, shares), 0.25, threshold=0.7)
    assert nuclei.points.tolist() == [[5, 5]]


def test_the_loss_is_the_cross_entropy_of_equation_2() -> None:
    rng = np.random.default_rng(0)
    output = rng.normal(size=(2, 3, 5, 6)).astype(np.float32)
    target = rng.integers(0, 3, (2, 1, 5, 6)).astype(np.float32)
    weight = rng.choice([0.0, 0.5, 1.0], size=(2, 1, 5, 6)).astype(np.float32)
    powers = np.exp(output)
    shares = powers / powers.sum(axis=1, keepdims=True)
    own = np.take_along_axis(shares, target.astype(int), axis=1)
    expected = (weight * -np.log(own)).sum(axis=(1, 2, 3)) / weight.sum(axis=(1, 2, 3))
    loss = SemanticCodec(classes=("a", "b")).loss(*map(torch.tensor, (output, target, weight)))
    assert np.allclose(loss.numpy(), expected, rtol=1e-5)


def test_the_loss_of_sigmoid_is_the_cross_entropy_of_each_channel() -> None:
    rng = np.random.default_rng(0)
    output = rng.normal(size=(2, 2, 5, 6)).astype(np.float32)
    target = rng.integers(0, 3, (2, 1, 5, 6)).astype(np.float32)
    shares = 1 / (1 + np.exp(-output))
    inside = np.concatenate([target == 1, target == 2], axis=1)
    expected = -np.log(np.where(inside, shares, 1 - shares)).sum(axis=1).mean(axis=(1, 2))
    codec = SemanticCodec(classes=("a", "b"), activation="sigmoid")
    loss = codec.loss(torch.tensor(output), torch.tensor(target), torch.ones(2, 1, 5, 6))
    assert np.allclose(loss.numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_gradient_is_exactly_zero_where_the_weight_is(activation: str) -> None:
    codec = SemanticCodec(activation=activation)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(2, codec.channels, 6, 6, generator=generator)
    target = (torch.rand(2, 1, 6, 6, generator=generator) > 0.5).float()
    weight = (torch.rand(2, 1, 6, 6, generator=generator) > 0.5).float()
    weight[1] = 0
    output[(weight == 0).expand_as(output)] = torch.inf
    output.requires_grad_(True)
    loss = codec.loss(output, target, weight)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert loss[1] == 0
    assert output.grad is not None
    assert torch.equal(output.grad != 0, (weight > 0).expand_as(output))


def test_variants_are_those_of_table_1_and_only_with_postprocessing() -> None:
    plain = SemanticCodec()
    assert plain.variants() == (plain,)
    first, *others = SemanticCodec(postprocess="dynamics", dynamics=0.2).variants()
    assert first.dynamics == 0.2
    assert [round(255 * other.dynamics) for other in others] == [6, 7, 8, 9, 10, 11, 12]
    assert {other.foreground for other in others} == {0.5}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"activation": "softmx"}, "'activation' .* cannot be 'softmx'. Did you mean 'softmax'"),
        ({"postprocess": "dynamic"}, "'postprocess' .* Did you mean 'dynamics'"),
        ({"foreground": -0.5}, "'foreground' .* of at least 0, but got -0.5"),
    ],
)
def test_a_wrong_value_is_refused_in_one_sentence(options, sentence) -> None:
    with pytest.raises(UserError, match=sentence):
        build_codec("semantic", **options)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nothing_above_p2_is_no_nucleus_and_maps_must_be_finite(activation: str) -> None:
    codec = SemanticCodec(activation=activation)  # type: ignore[arg-type]
    maps = outputs_of(codec, np.full((1, 7, 8), 0.2))
    nuclei = codec.decode(maps, 0.25, threshold=None)
    assert len(nuclei) == 0
    assert nuclei.instances is not None
    maps[0, 0, 0] = np.nan
    with pytest.raises(NotFiniteMapsError, match="not finite"):
        codec.decode(maps, 0.25, threshold=None)
