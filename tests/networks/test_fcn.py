from __future__ import annotations

import pytest
import torch
import torchvision
from networks.tiny import tiny_network
from torch.nn import functional

from transfer_kit.networks import FCN8s, FCN16s, FCN32s, load_pretrained
from transfer_kit.networks.blocks import OutputConvolution

SIZES = {"width": 2, "hidden": 8}


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(7))


def vgg16_layers() -> list[tuple[int, int]]:
    """Filters and kernel size of each convolution of torchvision's own VGG-16."""
    with torch.device("meta"):
        features = torchvision.models.vgg16().features
    return [(m.out_channels, m.kernel_size[0]) for m in features if hasattr(m, "kernel_size")
            and hasattr(m, "out_channels")]  # fmt: skip


def test_the_convolutions_are_those_of_vgg16():
    with torch.device("meta"):
        network = FCN32s(channels=1)
    own = [
        (module.out_channels, module.kernel_size[0])
        for name, block in network.blocks
        if name.startswith("conv")
        for module in block
        if isinstance(module, torch.nn.Conv2d)
    ]
    assert own == vgg16_layers()
    assert network.fc6[0].weight.shape == (4096, 512, 7, 7)
    assert network.fc7[0].weight.shape == (4096, 4096, 1, 1)


def test_torchvisions_weights_give_torchvisions_features(tmp_path):
    torch.manual_seed(0)
    vgg = torchvision.models.vgg16().features
    torch.save({f"features.{k}": v for k, v in vgg.state_dict().items()}, tmp_path / "vgg16.pth")
    network = FCN32s(channels=1, hidden=8).eval()
    assert load_pretrained(network, tmp_path / "vgg16.pth") == ("fc6", "fc7", "score")
    x, image = noise(1, 3, 64, 64), noise(1, 3, 64, 64)
    for name in ("conv1", "conv2", "conv3", "conv4", "conv5"):
        x = getattr(network, name)(x)
    assert torch.allclose(x, vgg(image), atol=1e-5)
    assert x.abs().max() > 1e-3


def test_vgg16s_classifier_becomes_convolutions(tmp_path):
    network = FCN32s(channels=1, width=1, hidden=4).eval()
    own = {n: t.clone() for n, t in network.state_dict().items()}
    names = {f"conv{b}.{i}": None for b in range(1, 6) for i in (0, 2, 4)}
    places = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
    layers = [name for name in names if f"{name}.weight" in own]
    tensors = {
        f"features.{place}.{kind}": own[f"{layer}.{kind}"] + 1
        for place, layer in zip(places, layers, strict=True)
        for kind in ("weight", "bias")
    }
    first, second = noise(4, 8 * 49), noise(4, 4)
    tensors |= {"classifier.0.weight": first, "classifier.0.bias": noise(4)}
    tensors |= {"classifier.3.weight": second, "classifier.3.bias": noise(4)}
    tensors |= {"classifier.6.weight": noise(1000, 4), "classifier.6.bias": noise(1000)}
    torch.save(tensors, tmp_path / "vgg16.pth")
    assert load_pretrained(network, tmp_path / "vgg16.pth") == ("score",)
    seven = noise(1, 8, 7, 7)
    linear = functional.relu(
        functional.linear(seven.flatten(1), first, tensors["classifier.0.bias"])
    )
    linear = functional.relu(functional.linear(linear, second, tensors["classifier.3.bias"]))
    centre = network.fc7(network.fc6(seven))[..., 3, 3]
    assert torch.allclose(centre, linear, atol=1e-4)


def test_an_fcn_from_caffe_sees_blue_green_red_of_0_to_255(tmp_path):
    network = FCN32s(channels=2, **SIZES).eval()
    tensors = {}
    for block, count in enumerate((2, 2, 3, 3, 3), 1):
        for position in range(count):
            own = network.state_dict()[f"conv{block}.{2 * position}.weight"]
            tensors[f"conv{block}_{position + 1}.weight"] = noise(*own.shape)
            tensors[f"conv{block}_{position + 1}.bias"] = noise(own.shape[0])
    tensors |= {"fc6.weight": noise(8, 16, 7, 7), "fc6.bias": noise(8)}
    tensors |= {"score_fr.weight": noise(21, 8, 1, 1), "score_fr.bias": noise(21)}
    torch.save(tensors, tmp_path / "fcn32s_from_caffe.pth")
    assert load_pretrained(network, tmp_path / "fcn32s_from_caffe.pth") == ("fc7", "score")
    standardised = noise(1, 3, 8, 8)
    caffe = standardised.flip(1) * 255 * 0.226
    expected = functional.conv2d(
        caffe, tensors["conv1_1.weight"], tensors["conv1_1.bias"], padding=1
    )
    assert torch.allclose(network.conv1[0](standardised), expected, atol=1e-3, rtol=1e-4)
    assert torch.equal(network.fc6[0].weight, tensors["fc6.weight"])


@pytest.mark.parametrize(("coarse", "fine"), [("fcn32s", "fcn16s"), ("fcn16s", "fcn8s")])
def test_a_finer_network_starts_with_the_coarser_ones_scores(coarse, fine, tmp_path):
    start = tiny_network(coarse, channels=2, seed=1)
    with torch.no_grad():
        start.score.deepest.weight.add_(noise(2, 8, 1, 1))
    torch.save(start.state_dict(), tmp_path / "coarser.pt")
    network = tiny_network(fine, channels=2, seed=2)
    assert load_pretrained(network, tmp_path / "coarser.pt") == ("score",)
    kept = network.state_dict()
    assert all(torch.equal(kept[name], value) for name, value in start.state_dict().items())
    image = noise(1, 3, 256, 256)
    with torch.no_grad():
        before, after = start(image), network(image)
    inner = (..., slice(64, -64), slice(64, -64))
    difference = (after[inner] - before[inner]).abs().max()
    assert difference < 0.15 * (before[inner].max() - before[inner].min())


@pytest.mark.parametrize(("network", "finer"), [(FCN32s, []), (FCN16s, [16]), (FCN8s, [16, 8])])
def test_finer_scores_come_from_the_fourth_and_third_pooled_layer(network, finer):
    built = network(channels=1, width=2, hidden=4)
    layers = [m for m in built.score.modules() if isinstance(m, OutputConvolution)]
    assert [layer.in_channels for layer in layers] == [4, *finer]


def test_the_32s_maps_change_linearly_between_the_scores():
    network = tiny_network("fcn32s")
    with torch.no_grad():
        network.score.deepest.weight.add_(1)
        maps = network(noise(1, 3, 160, 160))[0, 0, 16:-16, 16:-16]
    bends = maps.diff(dim=1).diff(dim=1).abs() > 1e-4 * maps.abs().max()
    assert bends.any(dim=0).nonzero().flatten().tolist() == [30, 31, 62, 63, 94, 95]
