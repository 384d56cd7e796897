"""Networks by name: from an image to maps of the same size."""

from __future__ import annotations

from transfer_kit.networks.base import Network, build_network, network_names, register_network
from transfer_kit.networks.micronet import MicroNet

__all__ = ["MicroNet", "Network", "build_network", "network_names", "register_network"]
