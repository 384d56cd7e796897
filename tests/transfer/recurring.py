"""What a recipe needs so that crops come again just as they were."""

from __future__ import annotations

from typing import Any


def recurring() -> dict[str, Any]:
    """Fields of a recipe, made anew: what is laid over a recipe's fields goes into these."""
    return {
        "patches": {"size_px": 64, "grid_stride_px": 32},
        "augment": {
            "quarter_turns": True,
            "scale": [1, 1],
            "elastic_alpha_um": 0,
            "colour_probability": 0,
        },
    }
