"""Codecs by name: from labels to target maps, and from a network's maps to nuclei."""

from __future__ import annotations

from transfer_kit.codecs.base import Codec, Maps, build_codec, codec_names, register
from transfer_kit.codecs.boxes import BoxesCodec
from transfer_kit.codecs.concentric import ConcentricCodec
from transfer_kit.codecs.distance import DistanceCodec
from transfer_kit.codecs.kinet import KiNetCodec
from transfer_kit.codecs.objectness import ObjectnessCodec
from transfer_kit.codecs.proximity import ProximityCodec
from transfer_kit.codecs.semantic import SemanticCodec
from transfer_kit.codecs.voting import VotingCodec

__all__ = [
    "BoxesCodec",
    "Codec",
    "ConcentricCodec",
    "DistanceCodec",
    "KiNetCodec",
    "Maps",
    "ObjectnessCodec",
    "ProximityCodec",
    "SemanticCodec",
    "VotingCodec",
    "build_codec",
    "codec_names",
    "register",
]
