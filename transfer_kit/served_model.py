"""The Detector behind MLflow's serving: the loader that each logged model names.

Start it with `mlflow models serve -m runs:/<run_id>/detector --env-manager local` and ask it with
`{"inputs": ["<base64 PNG>"], "params": {"mpp": 0.25}}`.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transfer_kit.errors import UserError

if TYPE_CHECKING:
    from transfer_kit.data.nuclei import Nuclei
    from transfer_kit.detector import Detector

Image = NDArray[np.uint8]

COLUMNS = ["image", "x", "y", "score", "class"]
MOST_PIXELS = 64_000_000
"""Of an image, and of it at the detector's scale: 8000², which takes a few gigabytes."""
LEAST_MPP, MOST_MPP = 0.01, 20.0
FORMATS = ("PNG", "JPEG", "TIFF")


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
            MlflowException: a parameter is missing or out of range, or an image cannot be read or
                is too large; the client gets status 400 and the sentence.
        """
        mpp, threshold = _checked(params or {})
        tables = []
        for number, image in enumerate(_images(model_input)):
            self._refuse_large(image, mpp, number)
            nuclei = self._nuclei(image, mpp, threshold, number)
            table = pd.DataFrame(nuclei.points.astype(np.float64), columns=["x", "y"])
            table["score"] = nuclei.scores.astype(np.float64)
            table["class"] = list(nuclei.classes)
            table.insert(0, "image", number)
            tables.append(table)
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)

    def _nuclei(self, image: Image, mpp: float, threshold: float | None, number: int) -> Nuclei:
        try:
            return self.detector.predict(image, mpp, threshold=threshold)
        except UserError as error:
            raise _bad_request(f"Image {number}: {error}") from None

    def _refuse_large(self, image: Image, mpp: float, number: int) -> None:
        """An image is brought to the detector's scale, which may make it much larger."""
        height, width = image.shape[:2]
        pixels = height * width * max(1.0, mpp / self.detector.card.mpp) ** 2
        if pixels > MOST_PIXELS:
            raise _bad_request(
                f"Image {number} has {pixels / 1e6:.0f} million pixels at the detector's scale "
                f"of {self.detector.card.mpp:g} µm per pixel, and {MOST_PIXELS / 1e6:.0f} million "
                "are the most; cut it into tiles, or check params.mpp."
            )


def _checked(params: dict[str, Any]) -> tuple[float, float | None]:
    mpp, threshold = params.get("mpp"), params.get("threshold")
    if mpp is None:
        raise _bad_request("params.mpp is missing: give the images' µm per pixel.")
    if not LEAST_MPP <= float(mpp) <= MOST_MPP:  # not a number, too
        raise _bad_request(
            f"params.mpp must be µm per pixel from {LEAST_MPP:g} to {MOST_MPP:g}, but got {mpp}."
        )
    if threshold is not None and not math.isfinite(float(threshold)):
        raise _bad_request(f"params.threshold must be a number, but got {threshold}.")
    return float(mpp), None if threshold is None else float(threshold)


def _images(model_input: Any) -> Iterable[Image]:
    if isinstance(model_input, pd.DataFrame | dict):
        if "image" not in model_input:
            raise _bad_request("The table has no column `image`, which holds base64 image files.")
        model_input = model_input["image"]
    if isinstance(model_input, pd.Series):
        model_input = model_input.tolist()
    if isinstance(model_input, np.ndarray) and model_input.dtype.kind in "OUS":
        model_input = model_input.tolist()
    if isinstance(model_input, str | bytes):
        model_input = [model_input]
    if isinstance(model_input, list | tuple) and all(
        isinstance(each, str | bytes) for each in model_input
    ):
        return [_decoded(each, number) for number, each in enumerate(model_input)]
    return _pixels(model_input)


def _pixels(model_input: Any) -> list[Image]:
    try:
        pixels = np.asarray(model_input)
    except ValueError:
        raise _bad_request(
            "Images in one array must be of one size; send images of unlike sizes as base64 files."
        ) from None
    pixels = pixels[np.newaxis] if pixels.ndim == 3 else pixels
    if pixels.ndim != 4 or pixels.shape[3] != 3 or 0 in pixels.shape[1:3]:
        raise _bad_request(f"Images must be (N, H, W, 3), but got {pixels.shape}.")
    if pixels.dtype.kind not in "uif":
        raise _bad_request("Pixels must be numbers from 0 to 255.")
    if pixels.size and not (pixels.min() >= 0 and pixels.max() <= 255):  # not a number, too
        raise _bad_request("Pixels must be numbers from 0 to 255.")
    if pixels.dtype.kind == "f" and (pixels % 1).any():
        raise _bad_request("Pixels must be whole numbers from 0 to 255, not shares of 1.")
    return list(pixels.astype(np.uint8))


def _decoded(text: str | bytes, number: int) -> Image:
    import cv2

    try:
        encoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _bad_request(f"Image {number} is not base64.") from None
    _refuse_unreadable(encoded, number)
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise _bad_request(f"Image {number} is damaged.")
    return np.asarray(image[..., ::-1], np.uint8).copy()


def _refuse_unreadable(encoded: bytes, number: int) -> None:
    """Look at an image file's head, which tells its size before it is unpacked."""
    from PIL import Image as Pillow

    try:
        with Pillow.open(io.BytesIO(encoded), formats=FORMATS) as head:
            width, height = head.size
    except Pillow.DecompressionBombError:
        width = height = MOST_PIXELS
    except Exception:  # Pillow raises many kinds for what is no image
        raise _bad_request(f"Image {number} is no PNG, JPEG or TIFF file.") from None
    if width * height > MOST_PIXELS:
        raise _bad_request(
            f"Image {number} has more than {MOST_PIXELS / 1e6:.0f} million pixels; cut it into "
            "tiles."
        )


def _bad_request(sentence: str) -> Exception:
    from mlflow.exceptions import MlflowException

    error: Exception = MlflowException.invalid_parameter_value(sentence)
    return error
