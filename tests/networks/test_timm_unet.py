from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from networks.tiny import tiny_network
from safetensors.torch import save_file

from transfer_kit.errors import UserError
from transfer_kit.networks import TimmUNet, build_network, load_pretrained
from transfer_kit.networks.tiled import tiled_maps
from transfer_kit.transfer.freezing import freeze_first_blocks
from transfer_kit.transfer.summary import summarise_blocks

FOUNDATION = {
    "encoder": "vit_small_patch14_reg4_dinov2",
    "width": 4,
    "encoder_options": {"img_size": 56, "depth": 4, "embed_dim": 24, "num_heads": 2},
}
"""The make of a pathology foundation model: 14-pixel patches, registers, layer scale."""


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(7))


def build(**options) -> TimmUNet:
    torch.manual_seed(0)
    return build_network("timm_unet", channels=1, **options).eval()


def foundation_encoder(seed: int = 1, **options) -> torch.nn.Module:
    torch.manual_seed(seed)
    return timm.create_model(
        FOUNDATION["encoder"], num_classes=0, **{**FOUNDATION["encoder_options"], **options}
    )


@pytest.mark.parametrize(
    "encoder",
    ["test_resnet", "test_vit", "test_convnext", "test_efficientnet", "test_nfnet", "test_byobnet"],
)
def test_encoders_of_all_makes_take_any_size(encoder):
    network = build(encoder=encoder, width=2)
    for size in ((1, 1), (50, 33)):
        maps = network(noise(1, 3, *size))
        assert maps.shape == (1, 1, *size)
        assert torch.isfinite(maps).all()


def test_a_plain_transformer_becomes_a_pyramid():
    network = build(**FOUNDATION)
    assert network.stride == 14
    assert network.indices == [0, 1, 2, 3]
    sizes = []
    for level in network.neck:
        level.register_forward_hook(lambda _, __, maps: sizes.append(tuple(maps.shape[-2:])))
    assert network(noise(1, 3, 50, 29)).shape == (1, 1, 50, 29)
    assert sizes == [(32, 24), (16, 12), (8, 6), (4, 3)]


def test_its_parts_are_counted_from_input_to_output():
    network = build(**FOUNDATION)
    names = [name for name, _ in network.blocks]
    stages = ["stage1", "stage2", "stage3", "stage4"]
    assert names == ["stem", *stages, "neck", "up1", "up2", "up3", "output"]
    inside = {id(p): block for block, part in network.blocks for p in part.parameters()}
    encoder = network.encoder
    assert {inside[id(encoder.cls_token)], inside[id(encoder.pos_embed)]} == {"stem"}
    assert inside[id(encoder.patch_embed.proj.weight)] == "stem"
    for depth in range(4):
        assert {inside[id(p)] for p in encoder.blocks[depth].parameters()} == {f"stage{depth + 1}"}
    assert inside[id(encoder.norm.weight)] == "stage4"


def test_a_resnets_stages_are_its_layers():
    network = build(encoder="resnet10t", width=2)
    inside = {id(p): block for block, part in network.blocks for p in part.parameters()}
    assert inside[id(network.encoder.bn1.weight)] == "stem"
    for stage in (1, 2, 3, 4):
        layer = getattr(network.encoder, f"layer{stage}")
        assert {inside[id(p)] for p in layer.parameters()} == {f"stage{stage}"}


def test_freezing_the_encoder_leaves_the_decoder_to_learn():
    network = build(**FOUNDATION)
    freeze_first_blocks(network, 5)
    assert not any(p.requires_grad for p in network.encoder.parameters())
    assert all(p.requires_grad for p in (*network.neck.parameters(), *network.output.parameters()))
    frozen = [block.name for block in summarise_blocks(network) if block.frozen]
    assert frozen == ["stem", "stage1", "stage2", "stage3", "stage4"]


def test_a_transformers_tiles_see_the_declared_context():
    assert build(**FOUNDATION).receptive_field == 2 * 224 + 1
    assert build(**FOUNDATION, halo_px=28).receptive_field == 57


def test_squeeze_and_excitation_counts_as_seeing_the_whole_image():
    assert build(encoder="test_efficientnet", width=2).receptive_field == 2 * 224 + 1


def test_a_transformer_in_tiles_is_near_the_whole_and_nearer_with_more_context():
    network = build(**FOUNDATION)
    with torch.no_grad():
        for value in network.parameters():
            value.add_(torch.randn(value.shape, generator=torch.Generator().manual_seed(0)) * 0.02)
    image = noise(3, 56, 280)
    whole = tiled_maps(network, image, tile_px=1000, channels=1)
    differences = []
    for halo in (14, 84, 280):
        network._halo_px = halo
        tiled = tiled_maps(network, image, tile_px=56, channels=1)
        differences.append(np.abs(tiled - whole).mean() / whole.std())
    assert differences[0] < 0.5
    assert differences[1] < differences[0]
    assert differences[2] < 1e-4


@pytest.mark.parametrize("name", ["mixer_s16_224", "inception_v3"])
def test_an_encoder_of_one_image_size_is_refused(name):
    with pytest.raises(UserError, match=f"encoder '{name}' takes images of one size alone"):
        build(encoder=name)


def test_an_unknown_encoder_names_the_nearest():
    with pytest.raises(UserError, match=r"no encoder 'resnet43'\. Did you mean 'resnet34'\?"):
        build(encoder="resnet43")


def test_an_address_is_no_encoder():
    with pytest.raises(UserError, match=r"no encoder 'hf-hub:MahmoodLab/UNI'.*network.pretrained"):
        build(encoder="hf-hub:MahmoodLab/UNI")


@pytest.mark.parametrize("option", ["pretrained", "checkpoint_path", "pretrained_cfg_overlay"])
def test_options_cannot_make_timm_open_files(option):
    with pytest.raises(UserError, match=f"cannot set '{option}'"):
        build(encoder="test_vit", encoder_options={option: "weights.pth"})


def test_an_unknown_option_of_the_encoder_is_explained():
    with pytest.raises(UserError, match=r"'test_resnet' cannot be built with .*'depht'"):
        build(encoder="test_resnet", encoder_options={"depht": 3})


def test_layers_are_named_as_on_model_cards():
    options = {**FOUNDATION["encoder_options"], "mlp_layer": "SwiGLUPacked", "act_layer": "SiLU"}
    network = build(encoder=FOUNDATION["encoder"], width=2, encoder_options=options)
    mlp = network.encoder.blocks[0].mlp
    assert isinstance(mlp, timm.layers.GluMlp)
    assert isinstance(mlp.act, torch.nn.SiLU)


@pytest.mark.parametrize("name", ["weights.safetensors", "pytorch_model.bin"])
def test_a_foundation_models_file_fills_the_encoder(name, tmp_path):
    published = foundation_encoder()
    if name.endswith("safetensors"):
        save_file(published.state_dict(), tmp_path / name)
    else:
        torch.save(published.state_dict(), tmp_path / name)
    network = build(**FOUNDATION)
    assert load_pretrained(network, tmp_path / name) == ("neck", "up1", "up2", "up3", "output")
    own = network.encoder.state_dict()
    assert all(torch.equal(own[key], value) for key, value in published.state_dict().items())
    image = noise(1, 3, 56, 56)
    _, expected = published.eval().forward_intermediates(image, indices=[3], norm=True)
    assert torch.allclose(network._features(image)[-1], expected[0], atol=1e-6)


def test_positions_of_another_image_size_are_interpolated(tmp_path):
    published = foundation_encoder(img_size=84)
    save_file(published.state_dict(), tmp_path / "weights.safetensors")
    network = build(**FOUNDATION)
    load_pretrained(network, tmp_path / "weights.safetensors")
    assert network.encoder.pos_embed.shape[1] == 16
    wide = published.pos_embed.unflatten(1, (6, 6))[0].mean(dim=(0, 1))
    kept = network.encoder.pos_embed.unflatten(1, (4, 4))[0].mean(dim=(0, 1))
    assert torch.allclose(wide, kept, atol=0.02)


def test_a_classifier_in_the_file_is_left_out(tmp_path):
    torch.manual_seed(1)
    published = timm.create_model("test_resnet", num_classes=7)
    torch.save(published.state_dict(), tmp_path / "resnet.pth")
    network = build(encoder="test_resnet", width=2)
    load_pretrained(network, tmp_path / "resnet.pth")
    assert torch.equal(network.encoder.conv1[0].weight, published.conv1[0].weight)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"depth": 5}, r"encoder\.blocks\.4\..* is not part of it"),
        ({"depth": 3}, r"encoder\.blocks\.3\..* is missing"),
        ({"embed_dim": 48}, r"is \(.*48.*\) instead of \(.*24.*\)"),
        ({"reg_tokens": 2}, r"encoder\.reg_token is \(1, 2, 24\) instead of \(1, 4, 24\)"),
    ],
)
def test_another_transformer_is_refused_in_one_sentence(options, sentence, tmp_path):
    save_file(foundation_encoder(**options).state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="another architecture than this TimmUNet.*" + sentence):
        load_pretrained(build(**FOUNDATION), tmp_path / "other.safetensors")


def as_transformers_names_it(name: str, tensor: torch.Tensor, *, dinov2: bool):
    """The names of Hugging Face's ViTModel and Dinov2Model, written down by hand."""
    norms = ("norm1", "norm2") if dinov2 else ("layernorm_before", "layernorm_after")
    mlp = ("mlp.fc1", "mlp.fc2") if dinov2 else ("intermediate.dense", "output.dense")
    if not name.startswith("blocks."):
        head, _, kind = name.rpartition(".")
        plain = {
            "cls_token": "embeddings.cls_token",
            "pos_embed": "embeddings.position_embeddings",
            "patch_embed.proj": f"embeddings.patch_embeddings.projection.{kind}",
            "norm": f"layernorm.{kind}",
        }
        return [(plain.get(name) or plain[head], tensor)]
    _, number, *rest = name.split(".")
    layer, inner, kind = f"encoder.layer.{number}.", ".".join(rest[:-1]), rest[-1]
    if inner == "attn.qkv":
        parts = zip(("query", "key", "value"), tensor.chunk(3), strict=True)
        return [(f"{layer}attention.attention.{part}.{kind}", value) for part, value in parts]
    named = {
        "attn.proj": f"attention.output.dense.{kind}",
        "norm1": f"{norms[0]}.{kind}",
        "norm2": f"{norms[1]}.{kind}",
        "mlp.fc1": f"{mlp[0]}.{kind}",
        "mlp.fc2": f"{mlp[1]}.{kind}",
        "ls1": "layer_scale1.lambda1",
        "ls2": "layer_scale2.lambda1",
    }
    return [(layer + named[inner], tensor)]


@pytest.mark.parametrize("dinov2", [False, True])
def test_a_model_of_the_transformers_library_is_read_too(dinov2, tmp_path):
    options = {"img_size": 32, "patch_size": 16, "embed_dim": 24, "depth": 4, "num_heads": 2}
    options |= {"init_values": 1e-5} if dinov2 else {}
    torch.manual_seed(1)
    published = timm.create_model("vit_base_patch16_224", num_classes=0, **options)
    tensors = dict(
        pair
        for name, tensor in published.state_dict().items()
        for pair in as_transformers_names_it(name, tensor, dinov2=dinov2)
    )
    tensors |= {"pooler.dense.weight": torch.zeros(24, 24), "embeddings.mask_token": torch.zeros(1)}
    save_file({k: v.contiguous() for k, v in tensors.items()}, tmp_path / "model.safetensors")
    network = build(encoder="vit_base_patch16_224", width=2, encoder_options=options)
    load_pretrained(network, tmp_path / "model.safetensors")
    own = network.encoder.state_dict()
    assert all(torch.equal(own[key], value) for key, value in published.state_dict().items())


def test_imagenets_weights_come_through_timm(monkeypatch):
    torch.manual_seed(1)
    published, create = timm.create_model("test_resnet"), timm.create_model
    asked = []

    def downloading(name, pretrained=False, **options):
        asked.append((name, pretrained))
        return published if pretrained else create(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", downloading)
    network = build(encoder="test_resnet", width=2)
    load_pretrained(network, "imagenet")
    assert asked[-1] == ("test_resnet", True)
    assert torch.equal(network.encoder.conv1[0].weight, published.conv1[0].weight)


def test_a_network_of_this_kit_fills_the_decoder_too(tmp_path):
    start = tiny_network("timm_unet", seed=1)
    torch.save(start.state_dict(), tmp_path / "start.pt")
    network = tiny_network("timm_unet", seed=2)
    assert load_pretrained(network, tmp_path / "start.pt") == ()
    image = noise(1, 3, 40, 40)
    assert torch.equal(network(image), start(image))
