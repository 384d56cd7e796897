"""Damages slides at random and reads them, in a process of its own, since decoders may crash.

    python fuzzing.py READER SECONDS SEED FOLDER

Prints the number of each attempt before it is made, so that a crash can be had again; ends with 1
and the traceback where anything but a UserError comes out.
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import tifffile
from data.slides.made_slides import (
    picture,
    pyramid,
    write_mrxs,
    write_ngff,
    write_ome_tiff,
    write_plain_ngff,
    write_scn,
    write_tiff,
    write_vms,
)
from PIL import Image

from transfer_kit.data.slides import open_slide
from transfer_kit.errors import UserError

LONGEST_SECONDS = 20  # of one attempt, on a slow machine
MOST_MEGABYTES = 2000

REAL = Path(os.environ.get("TRANSFER_KIT_DATA", Path(__file__).parents[4] / "shared" / "data"))


def tiffs(folder):
    levels = pyramid(picture(150, 200))
    write_tiff(folder / "deflate.tif", levels)
    write_tiff(folder / "jpeg.tif", levels, compression="jpeg")
    write_tiff(folder / "jpeg2000.tif", levels[:2], compression="jpeg2000")
    write_tiff(folder / "raw.tif", levels[:2], compression=None, byteorder=">")
    write_ome_tiff(folder / "subifds.ome.tif", levels)
    tifffile.imwrite(folder / "strips.tif", levels[0], photometric="rgb", compression="lzw")


def zarrs(folder):
    levels = pyramid(picture(150, 200))
    write_plain_ngff(folder / "plain.zarr", levels[0])
    try:
        write_ngff(folder / "2.zarr", levels, axes="cyx")
        write_ngff(folder / "3.zarr", levels, axes="yxc", zarr_format=3)
        write_ngff(
            folder / "shards.zarr",
            levels[:1],
            axes="cyx",
            zarr_format=3,
            chunk=(3, 32, 32),
            shards=(3, 64, 64),
        )
    except Exception as error:  # skipping is pytest's; here the rest is fuzzed
        print(f"without the zarr package: {error}", file=sys.stderr)


def plain_images(folder):
    image = Image.fromarray(picture(60, 80))
    for suffix in (".png", ".jpg", ".bmp", ".tif"):
        image.save(folder / f"a{suffix}")
    image.quantize(16).save(folder / "palette.png")


def openslides(folder):
    write_vms(folder / "a.vms", picture(128, 256))
    write_scn(folder / "a.scn", pyramid(picture(256, 384), 2))
    write_mrxs(folder / "b.mrxs", pyramid(picture(128, 256), 3))
    for path in (REAL / "slides" / "openslide").glob("*.dcm"):
        shutil.copy(path, folder / path.name)


READERS = {"tifffile": tiffs, "zarr": zarrs, "plain": plain_images, "openslide": openslides}


def damage(data, rng):
    """Bytes with a few of them changed, zeroed or cut off; half of the times near the beginning."""
    data = bytearray(data)
    if not data:
        return bytes(rng.bytes(int(rng.integers(1, 99))))
    reach = len(data) if rng.random() < 0.5 else min(len(data), 512)
    kind = rng.integers(5)
    if kind == 0:
        return bytes(data[: int(rng.integers(reach + 1))])
    if kind == 1:
        start, length = int(rng.integers(reach)), int(rng.integers(1, 64))
        data[start : start + length] = bytes(len(data[start : start + length]))
        return bytes(data)
    for place in rng.integers(reach, size=int(rng.integers(1, 9))):
        data[place] = int(rng.choice([0, 1, 127, 128, 255, int(rng.integers(256))]))
    return bytes(data)


def attempt(slide, number, seed):
    """Damage one file of the slide, read it, and mend the file."""
    rng = np.random.default_rng([seed, number])
    files = sorted(path for path in slide.rglob("*") if path.is_file()) or [slide]
    if slide.suffix == ".vms":
        files = sorted(slide.parent.glob(f"{slide.stem}*"))
    if slide.suffix == ".mrxs":
        files += sorted(slide.with_suffix("").iterdir())
    file = files[int(rng.integers(len(files)))]
    sound = file.read_bytes()
    file.write_bytes(damage(sound, rng))
    started = time.monotonic()
    said = ""
    try:
        read(slide)
    except UserError as error:
        said = str(error)
    assert len(said) < 900, said
    assert "\n" not in said, said
    assert time.monotonic() - started < LONGEST_SECONDS
    file.write_bytes(sound)


def read(path):
    with open_slide(path) as slide:
        for number, level in enumerate(slide.levels):
            height, width = level.size
            for x, y in ((0, 0), (width // 2, height // 2)):
                pixels = slide.read(number, x, y, min(90, width - x), min(90, height - y))
                assert pixels.dtype == np.uint8
                assert pixels.shape == (min(90, height - y), min(90, width - x), 3)


def main(reader, seconds, seed, folder):
    folder = Path(folder)
    READERS[reader](folder)
    parts = {*folder.glob("*.jpg"), folder / "b"} if reader == "openslide" else set()
    slides = sorted(set(folder.iterdir()) - parts)
    for slide in slides:
        read(slide)
    until = time.monotonic() + float(seconds)
    number = 0
    while time.monotonic() < until:
        slide = slides[number % len(slides)]
        print(number, slide.name, flush=True)
        attempt(slide, number, int(seed))
        number += 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{number} attempts, {peak:.0f} MB at most")
    assert peak < MOST_MEGABYTES


if __name__ == "__main__":
    main(*sys.argv[1:])
