"""From QuPath and back: labelled regions and outlines in, detections out.

Writes GeoJSON as QuPath exports it (here from drawn images, in your lab from QuPath), in which only
the left half of each image is labelled, marked by a rectangle of the class "Labelled region". The
right half is unknown: it is neither learned from nor counted in the test. Six steps only, so that
it ends soon.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from transfer_kit.data.card import DatasetCard
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.formats import AnnotationSource, ImageInfo, read_annotation
from transfer_kit.data.images import read_image
from transfer_kit.data.synthetic import draw
from transfer_kit.inference import write_nuclei
from transfer_kit.plan import make_plan
from transfer_kit.recipe import Recipe
from transfer_kit.run import run_recipe

SIZE, LABELLED_WIDTH, MPP = 256, 128, 0.25
SHORT = {
    "train.steps": 6,
    "train.batch_size": 2,
    "train.validate_every": 3,
    "patches.size_px": 128,
}


def main() -> None:
    """Write, read, train, predict, write and read again."""
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        folder = Path("from-qupath")
        make_folder(folder)
        dataset = Dataset.open(folder)
        known = dataset[0].annotation()
        print(
            f"Read {len(dataset)} images; in the first {len(known)} nuclei, all inside "
            f"{len(known.labelled_regions)} labelled region"
        )
        recipe = Recipe(base="breast", target=f"./{folder}", freeze=2).replaced(**SHORT)
        result = run_recipe(make_plan(recipe), Path("runs/from-qupath"))

        image, detector = folder / "images" / "a.png", result.trained.detector
        pixels = read_image(image)
        nuclei = detector.predict(pixels, MPP)
        (written,) = write_nuclei(
            ["geojson"], Path(), "a", nuclei, detector=detector, image=pixels, mpp=MPP
        )
        source = AnnotationSource("geojson", (written,))
        again = read_annotation(source, ImageInfo.of(image))
        if not np.array_equal(again.points, nuclei.points):
            raise SystemExit("The points that were read differ from those that were written.")
        print(f"Made: {result.folder} and {written} with {len(nuclei)} detections; drag it onto")
        print("the image in QuPath. Read back, it gives exactly the same points.")
        os.chdir("/")  # Windows does not remove the folder that one stands in


def make_folder(folder: Path) -> None:
    """Five images, each with a GeoJSON of its name in `annotations/`, and a card."""
    for part in ("images", "annotations"):
        (folder / part).mkdir(parents=True)
    for case, name in enumerate("abcde"):
        image, known = draw("eye", case=case, size=SIZE, seed=11)
        Image.fromarray(image).save(folder / "images" / f"{name}.png")
        inside = known.points[known.points[:, 0] < LABELLED_WIDTH - 0.5]
        features = [labelled_region(), *(nucleus(x, y) for x, y in inside.tolist())]
        document = {"type": "FeatureCollection", "features": features}
        (folder / "annotations" / f"{name}.geojson").write_text(json.dumps(document))
    card = {"name": "from-qupath", "organ": "eye", "stain": "H&E", "mpp": MPP}
    DatasetCard.of_fields({**card, "licence": "private"}).write(folder / "dataset.yaml")


def labelled_region() -> dict[str, Any]:
    """The left half of the image, drawn with QuPath's rectangle tool."""
    right, bottom = LABELLED_WIDTH, SIZE
    corners = [[0, 0], [right, 0], [right, bottom], [0, bottom], [0, 0]]
    return feature({"type": "Polygon", "coordinates": [corners]}, "Labelled region")


def nucleus(x: float, y: float) -> dict[str, Any]:
    """A circle drawn around a nucleus; QuPath puts the centre of the first pixel at 0.5, 0.5."""
    angles = np.linspace(0, 2 * np.pi, 17)
    ring = np.stack([x + 0.5 + 8 * np.cos(angles), y + 0.5 + 8 * np.sin(angles)], axis=1)
    ring[-1] = ring[0]
    return feature({"type": "Polygon", "coordinates": [ring.tolist()]}, "Nucleus")


def feature(geometry: dict[str, Any], name: str) -> dict[str, Any]:
    """One annotation with its class, as QuPath exports it."""
    properties = {
        "objectType": "annotation",
        "classification": {"name": name, "color": [200, 0, 0]},
    }
    return {"type": "Feature", "geometry": geometry, "properties": properties}


if __name__ == "__main__":
    main()
