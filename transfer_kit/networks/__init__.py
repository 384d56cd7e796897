"""Networks by name: from an image to maps of the same size."""

from __future__ import annotations

from transfer_kit.networks.base import (
    Network,
    build_network,
    network_names,
    register_late,
    register_network,
)
from transfer_kit.networks.fcn import FCN8s, FCN16s, FCN32s
from transfer_kit.networks.fcrn import FCRNA, FCRNB
from transfer_kit.networks.frcn import FRCN
from transfer_kit.networks.kinet import KiNet
from transfer_kit.networks.micronet import MicroNet
from transfer_kit.networks.pretrained import load_pretrained
from transfer_kit.networks.sfcn_opi import SFCNOPI
from transfer_kit.networks.timm_unet import TimmUNet
from transfer_kit.networks.unet import UNet
from transfer_kit.networks.voca import Voca

__all__ = [
    "FCRNA",
    "FCRNB",
    "FRCN",
    "SFCNOPI",
    "FCN8s",
    "FCN16s",
    "FCN32s",
    "KiNet",
    "MicroNet",
    "Network",
    "TimmUNet",
    "UNet",
    "Voca",
    "build_network",
    "load_pretrained",
    "network_names",
    "register_network",
]

# Torchvision takes as long to import as torch itself, and no other network needs it.
register_late("mask_rcnn", "transfer_kit.networks.mask_rcnn")
