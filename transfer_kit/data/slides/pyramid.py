"""Which pictures of a file are the same slide at a lower resolution."""

from __future__ import annotations

_LEAST = 1.5  # a picture as large as level 0 is another plane of it, not a level


def downsample_of(size: tuple[int, int], finest: tuple[int, int]) -> float | None:
    """How much coarser a picture of `size` is than level 0 of size `finest`.

    Its sides may be rounded up or down by a pixel. Where that allows a whole number it is one:
    300 × 250 and 75 × 62 are 4 apart, not 4.016.

    Args:
        size: Height and width.
        finest: Height and width of level 0.

    Returns:
        None where the sides do not agree, as those of labels and macro images.
    """
    if min(size) < 1:
        return None
    lows = [whole / (side + 1) for whole, side in zip(finest, size, strict=True)]
    highs = [whole / max(side - 1, 0.5) for whole, side in zip(finest, size, strict=True)]
    low, high = max(lows), min(highs)
    mean = sum(whole / side for whole, side in zip(finest, size, strict=True)) / 2
    if low > high or mean < _LEAST:
        return None
    return float(round(mean)) if low <= round(mean) <= high else mean
