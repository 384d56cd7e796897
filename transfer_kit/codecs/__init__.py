"""Codecs by name: from labels to target maps, and from a network's maps to nuclei."""

from __future__ import annotations

from transfer_kit.codecs.base import Codec, Maps, build_codec, codec_names, register
from transfer_kit.codecs.proximity import ProximityCodec

__all__ = ["Codec", "Maps", "ProximityCodec", "build_codec", "codec_names", "register"]
