"""An exported detector in another program: onnxruntime, NumPy and SciPy, and nothing of the kit.

`in_another_program` is all that such a program needs; it takes every number from the card inside
the file. The rest exports the shipped detector, draws an image and compares.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from scipy import ndimage

import transfer_kit as tk
from transfer_kit.data.synthetic import draw
from transfer_kit.exporting import export_detector

SIZE = 256


def in_another_program(file: Path, image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """x, y and score `(N, 3)` of the nuclei, by the steps that the card gives for `proximity`."""
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    card = json.loads(session.get_modelmeta().custom_metadata_map["card"])
    numbers = card["decoding"]["numbers"]

    pixels = (image / 255 - np.array(card["mean"])) / np.array(card["std"])
    images = pixels.transpose(2, 0, 1)[None].astype(np.float32)
    h = session.run(["maps"], {"images": images})[0][0, 0]

    side = 2 * numbers["window_px"] + 1
    highest = ndimage.maximum_filter(h, size=side, mode="constant", cval=-np.inf)
    rows, columns = np.nonzero((h > 0) & (h == highest))
    scores = h[rows, columns] / numbers["reference"]
    kept = scores >= numbers["threshold"]
    return np.column_stack([columns, rows, scores])[kept]


def main() -> None:
    """Export, and find the same nuclei."""
    detector = tk.load("breast")
    image, _ = draw("breast", case=7, size=SIZE, seed=3)
    nuclei = detector.predict(image, detector.card.mpp)
    with tempfile.TemporaryDirectory() as folder:
        # A fixed size exports sooner; without one, images of any size from 64 px fit.
        file = Path(folder) / "breast.onnx"
        difference = export_detector(detector, file, size_px=SIZE)
        found = in_another_program(file, image)
    print(f"{file.name}: maps differ by {difference:.1g} at most")
    print(f"{len(found)} nuclei by onnxruntime, NumPy and SciPy, {len(nuclei)} by the kit")
    wanted = np.column_stack([nuclei.points, nuclei.scores])
    if len(found) != len(wanted) or np.abs(_sorted(found) - _sorted(wanted)).max() > 1e-3:
        raise SystemExit("The nuclei differ.")
    print("They are the same.")


def _sorted(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return rows[np.lexsort(rows.T[:2])]


if __name__ == "__main__":
    main()
