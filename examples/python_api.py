"""The Python API: load a detector, predict, match with what is true, and evaluate.

The image is drawn, so that its true nuclei are known.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import transfer_kit as tk
from transfer_kit.data.synthetic import draw
from transfer_kit.detector import Detector
from transfer_kit.evaluation import Evaluated, best_threshold, evaluate, match_points, overlay
from transfer_kit.inference import write_nuclei, write_png

MPP, RADIUS_UM = 0.25, 2.0


def main() -> None:
    """Go through all of it on three small images."""
    detector = tk.load("breast")
    print(f"{detector.card.name}: {detector.card.organ}, trained at {detector.card.mpp:g} µm/px")

    image, truth = draw("eye", case=100, size=256, seed=3)
    nuclei = detector.predict(image, MPP)
    match = match_points(truth.points, nuclei.points, RADIUS_UM / MPP)
    print(f"{len(nuclei)} detections, {len(truth)} nuclei, {len(match)} of them found")

    # A threshold is chosen on other images than those that it is judged on.
    threshold = best_threshold([examined(detector, case) for case in (101, 102)], radius_um=2.0)
    scores = evaluate([examined(detector, 100)], radius_um=RADIUS_UM, threshold=threshold.value)
    print(f"at the threshold {threshold.value:.2f}, chosen on two other images:")
    print(f"F1 {scores.f1:.3f}, precision {scores.precision:.3f}, recall {scores.recall:.3f}")

    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        kept = detector.predict(image, MPP, threshold=threshold.value)
        names = ("geojson", "csv")
        write_nuclei(names, Path(), "eye", kept, detector=detector, image=image, mpp=MPP)
        drawn = overlay(image, truth, kept, radius_um=RADIUS_UM, mpp=MPP)
        write_png(Path("eye.png"), drawn)
        print("Made:", ", ".join(sorted(path.name for path in Path().iterdir())))
        os.chdir("/")  # Windows does not remove the folder that one stands in


def examined(detector: Detector, case: int) -> Evaluated:
    """One drawn image with all candidates that the detector sees in it."""
    image, truth = draw("eye", case=case, size=256, seed=3)
    found = detector.candidates(image, MPP)
    return Evaluated(f"eye-{case}", f"case {case}", MPP, image.shape[:2], truth, found)


if __name__ == "__main__":
    main()
