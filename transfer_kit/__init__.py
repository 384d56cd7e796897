"""transfer-kit: adapt a nucleus detector to a new organ with few labels, honestly measured."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transfer_kit.detector import Detector

__version__ = "0.1.0"
__all__ = ["__version__", "load"]

# Libraries that would ask the network when they are imported; what the user set wins.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


def load(name: str) -> Detector:
    """The detector of a model name, an organ, a weights file or a run folder.

    Raises:
        UserError: nothing goes by that name, or the file is no detector.

    Example:
        >>> import transfer_kit as tk
        >>> nuclei = tk.load("micronet-breast").predict(image, mpp=0.25)  # doctest: +SKIP
    """
    from transfer_kit.detector import Detector
    from transfer_kit.stores.models import find_weights

    return Detector.load(find_weights(name))
