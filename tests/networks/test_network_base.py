from __future__ import annotations

import pytest

from transfer_kit.errors import UserError
from transfer_kit.networks import (
    MicroNet,
    Network,
    UNet,
    build_network,
    network_names,
    register_network,
)


def test_a_network_is_built_by_name() -> None:
    network = build_network("micronet", channels=3, width=4)
    assert isinstance(network, MicroNet)
    assert "micronet" in network_names()


def test_an_unknown_network_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no network 'mikronet'\. Did you mean 'micronet'\?"):
        build_network("mikronet", channels=1)


def test_an_unknown_option_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no option 'widht'\. Did you mean 'width'\?"):
        build_network("micronet", channels=1, widht=16)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"width": 0}, "'width' .* whole number of at least 1, but got 0"),
        ({"width": 1.5}, "'width' .* but got 1.5"),
        ({"width": True}, "'width' .* but got True"),
        ({"dropout": 1.0}, r"'dropout' .* in \[0, 1\), but got 1.0"),
        ({"dropout": "half"}, r"'dropout' .* but got 'half'"),
    ],
)
def test_a_wrong_value_is_refused_in_one_sentence(
    options: dict[str, object], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        build_network("micronet", channels=1, **options)


def test_two_networks_cannot_share_a_name() -> None:
    with pytest.raises(ValueError, match="two networks are named 'micronet'"):
        register_network("micronet")(MicroNet)


def test_a_network_must_say_its_stride() -> None:
    class Strideless(UNet):
        stride = Network.stride

    with pytest.raises(TypeError, match=r"abstract.* stride"):
        Strideless(channels=1)


def test_the_stride_of_a_network_cannot_be_set_where_its_encoder_gives_it() -> None:
    network = build_network("timm_unet", channels=1, encoder="test_resnet", width=2)
    assert network.stride == 32
    with pytest.raises(AttributeError):
        network.stride = 16
