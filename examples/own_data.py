"""Your own data: a folder of images and CSV points becomes a dataset, is checked, and is learned.

The images are drawn here, as if they had come from a lab: two images of each of six patients, with
the nuclei marked by x and y. Then the same commands as on any folder. Six steps only, so that it
ends soon.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from transfer_kit.data.synthetic import draw

SHORT = ["train.steps=6", "train.batch_size=2", "train.validate_every=3", "patches.size_px=128"]


def main() -> None:
    """Make the folder, and run the commands on it."""
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        # A store of its own, so that this example leaves nothing in yours.
        os.environ["TRANSFER_KIT_HOME"] = str(Path(work) / "store")
        make_folder(Path("my-eye"))
        describe = ["--organ", "eye", "--stain", "H&E", "--mpp", "0.25", "--licence", "private"]
        transfer_kit("data", "add", "my-eye", *describe, "--case-pattern", r"(patient\d+)")
        transfer_kit("data", "check", "my-eye", "--sheet", "my-eye.png")
        short = [word for setting in SHORT for word in ("--set", setting)]
        names = ["--base", "breast", "--target", "my-eye", "--freeze", "2"]
        result = json.loads(transfer_kit("finetune", *names, *short, "--json"))
        for column in ("base", "base_recalibrated", "finetuned"):
            print(f"{column}: F1 {result[column]['test']['f1']:.3f} on the test patient's images")
        print("Made:", "my-eye/dataset.yaml, my-eye.png,", result["run"])
        os.chdir("/")  # Windows does not remove the folder that one stands in


def make_folder(folder: Path) -> None:
    """`images/patient1_1.png` and so on, and `annotations/patient1_1.csv` with a header x,y."""
    for part in ("images", "annotations"):
        (folder / part).mkdir(parents=True)
    for patient in range(1, 7):
        for number in (1, 2):
            image, known = draw("eye", case=10 * patient + number, size=256, seed=7)
            name = f"patient{patient}_{number}"
            Image.fromarray(image).save(folder / "images" / f"{name}.png")
            lines = ["x,y", *(f"{x:.1f},{y:.1f}" for x, y in known.points)]
            (folder / "annotations" / f"{name}.csv").write_text("\n".join(lines) + "\n")


def transfer_kit(*words: str) -> str:
    """Run one command, show it, and give back what it said."""
    print("$ transfer-kit", *words, flush=True)
    command = [sys.executable, "-m", "transfer_kit", *words]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    if "--json" not in words:
        print(done.stdout, flush=True)
    return done.stdout


if __name__ == "__main__":
    main()
