"""How nuclei are found in a network's maps, told to programs and to people, codec by codec."""

from __future__ import annotations

from transfer_kit.exporting.decoding.describe import describe_decoding, described_codecs
from transfer_kit.exporting.decoding.description import Decoding, MapMeaning

__all__ = ["Decoding", "MapMeaning", "describe_decoding", "described_codecs"]
