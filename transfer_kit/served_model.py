"""The Detector behind MLflow's serving: the loader that each logged model names.

Start it with `mlflow models serve -m runs:/<run_id>/detector --env-manager local` and ask it with
`{"inputs": ["<base64 PNG>"], "params": {"mpp": 0.25}}`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    from transfer_kit.detector import Detector

COLUMNS = ["image", "x", "y", "score", "class"]


def _load_pyfunc(data_path: str) -> ServedDetector:
    """What MLflow calls once, when the server starts."""
    from transfer_kit.detector import Detector

    return ServedDetector(Detector.load(data_path))


class ServedDetector:
    """Answers images with a table of nuclei."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Nuclei of each image.

        Args:
            model_input: Images as numbers 0 to 255 `(N, H, W, 3)` or `(H, W, 3)`, or image files
                in base64: a list, or a table with the column `image`.
            params: `mpp`, µm per pixel of all images; `threshold` in place of the detector's own.

        Returns:
            One row a nucleus: `image` counts from 0, `x` and `y` are pixels of that image.

        Raises:
            MlflowException: mpp is missing, or an image cannot be read; the client gets status 400.
        """
        mpp, threshold = (params or {}).get("mpp"), (params or {}).get("threshold")
        if mpp is None:
            raise _bad_request("params.mpp is missing: give the images' µm per pixel.")
        tables = []
        for number, image in enumerate(_images(model_input)):
            nuclei = self.detector.predict(image, float(mpp), threshold=threshold)
            table = pd.DataFrame(nuclei.points.astype(np.float64), columns=["x", "y"])
            table["score"] = nuclei.scores.astype(np.float64)
            table["class"] = list(nuclei.classes)
            table.insert(0, "image", number)
            tables.append(table)
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)


def _images(model_input: Any) -> Iterable[NDArray[np.uint8]]:
    if isinstance(model_input, pd.DataFrame):
        if "image" not in model_input:
            raise _bad_request("The table has no column `image`, which holds base64 image files.")
        model_input = model_input["image"].tolist()
    if isinstance(model_input, str | bytes):
        model_input = [model_input]
    if all(isinstance(each, str | bytes) for each in model_input):
        return [_decoded(each, number) for number, each in enumerate(model_input)]
    pixels = np.asarray(model_input)
    pixels = pixels[np.newaxis] if pixels.ndim == 3 else pixels
    if pixels.ndim != 4 or pixels.shape[3] != 3:
        raise _bad_request(f"Images must be (N, H, W, 3), but got {pixels.shape}.")
    if not np.issubdtype(pixels.dtype, np.number) or pixels.min() < 0 or pixels.max() > 255:
        raise _bad_request("Pixels must be numbers from 0 to 255.")
    return list(pixels.astype(np.uint8))


def _decoded(text: str | bytes, number: int) -> NDArray[np.uint8]:
    import cv2

    try:
        encoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _bad_request(f"Image {number} is not base64.") from None
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR) if encoded else None
    if image is None:
        raise _bad_request(f"Image {number} is no PNG, JPEG or TIFF file.")
    return np.asarray(image[..., ::-1], np.uint8).copy()


def _bad_request(sentence: str) -> Exception:
    from mlflow.exceptions import MlflowException

    error: Exception = MlflowException.invalid_parameter_value(sentence)
    return error
