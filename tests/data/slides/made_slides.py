"""Small slides of every kind that can be written here, with the pixels that they hold."""

from __future__ import annotations

import json
import struct
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

MPP = 0.5


def picture(height=301, width=427, seed=0):
    """Smooth colours, so that JPEG keeps them and a shift by a pixel shows."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8 + 2, width // 8 + 2, 3))
    return cv2.resize(coarse.astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)


def pyramid(finest, count=3):
    """The picture at 1, 1/2, 1/4 …; sides are rounded down."""
    height, width = finest.shape[:2]
    sizes = [(width >> k, height >> k) for k in range(1, count)]
    return [finest, *(cv2.resize(finest, s, interpolation=cv2.INTER_AREA) for s in sizes)]


def write_tiff(path, levels, *, tile=(64, 64), compression="zlib", byteorder="<", **options):
    with tifffile.TiffWriter(path, byteorder=byteorder) as file:
        for number, level in enumerate(levels):
            file.write(
                level,
                tile=tile,
                photometric="rgb",
                compression=compression,
                subfiletype=int(number > 0),
                metadata=None,
                **options,
            )
    return path


def write_ome_tiff(path, levels, *, compression="zlib", mpp=MPP, unit="µm", y=None):
    metadata = {
        "axes": "YXS",
        "PhysicalSizeX": mpp,
        "PhysicalSizeXUnit": unit,
        "PhysicalSizeY": mpp if y is None else y,
        "PhysicalSizeYUnit": unit,
    }
    options = {"tile": (64, 64), "photometric": "rgb", "compression": compression}
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(levels[0], subifds=len(levels) - 1, metadata=metadata, **options)
        for level in levels[1:]:
            file.write(level, subfiletype=1, **options)
    return path


def multiscales(count, *, axes="tczyx", mpp=MPP, unit="micrometer"):
    described = [
        {"name": axis, "type": "space", "unit": unit} if axis in "zyx" else {"name": axis}
        for axis in axes
    ]
    datasets = [
        {
            "path": str(k),
            "coordinateTransformations": [
                {"type": "scale", "scale": [mpp * 2**k if a in "yx" else 1.0 for a in axes]}
            ],
        }
        for k in range(count)
    ]
    return [{"axes": described, "datasets": datasets}]


def write_ngff(path, levels, *, zarr_format=2, axes="tczyx", chunk=(3, 64, 64), **options):
    """Written by the zarr package, which the reader does without.

    Args:
        chunk: Along c, y and x; the same for shards in `options`.
    """
    zarr = pytest.importorskip("zarr", reason="the zarr package writes these slides")
    spread = {"t": 1, "z": 1}

    def ordered(c, y, x):
        return tuple({**spread, "c": c, "y": y, "x": x}[axis] for axis in axes)

    if "shards" in options:
        options["shards"] = ordered(*options["shards"])
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    for number, level in enumerate(levels):
        height, width = level.shape[:2]
        array = group.create_array(
            str(number),
            shape=ordered(3, height, width),
            chunks=ordered(*chunk),
            dtype="u1",
            **options,
        )
        kept = [axis for axis in axes if axis in "yxc"]
        array[:] = level.transpose(["yxc".index(axis) for axis in kept]).reshape(array.shape)
    image = {"multiscales": multiscales(len(levels), axes=axes)}
    group.attrs.update(image if zarr_format == 2 else {"ome": {"version": "0.5", **image}})
    return path


def write_plain_ngff(path, level, *, mpp=MPP):
    """Format 2 without any package: one uncompressed chunk a tile."""
    size, (height, width) = 64, level.shape[:2]
    (path / "0").mkdir(parents=True)
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    text = json.dumps({"multiscales": multiscales(1, axes="yxc", mpp=mpp)})
    (path / ".zattrs").write_text(text)
    array = {
        "zarr_format": 2,
        "shape": [height, width, 3],
        "chunks": [size, size, 3],
        "dtype": "|u1",
        "compressor": None,
        "filters": None,
        "fill_value": 0,
        "order": "C",
    }
    (path / "0" / ".zarray").write_text(json.dumps(array))
    for row in range(-(-height // size)):
        for column in range(-(-width // size)):
            chunk = np.zeros((size, size, 3), np.uint8)
            part = level[row * size :, column * size :][:size, :size]
            chunk[: part.shape[0], : part.shape[1]] = part
            (path / "0" / f"{row}.{column}.0").write_bytes(chunk.tobytes())
    return path


def write_vms(path, finest):
    """Hamamatsu's VMS: a file that names JPEGs with restart markers. Sides: multiples of 128."""
    stem = path.stem
    half = cv2.resize(finest, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    for name, image in (("", finest), ("_map", half), ("_macro", half)):
        Image.fromarray(image).save(
            path.with_name(f"{stem}{name}.jpg"), quality=95, subsampling=0, restart_marker_blocks=4
        )
    height, width = finest.shape[:2]
    nanometres = int(1000 * MPP)
    path.write_text(
        "[Virtual Microscope Specimen]\nNoLayers=1\nNoJpegColumns=1\nNoJpegRows=1\n"
        f"ImageFile={stem}.jpg\nMapFile={stem}_map.jpg\nMacroImage={stem}_macro.jpg\n"
        f"PhysicalWidth={width * nanometres}\nPhysicalHeight={height * nanometres}\n"
    )
    return path


def write_scn(path, levels, *, corner=(200, 400)):
    """Leica's SCN: 2000 × 3000 pixels of which `levels` fill a part, its corner at `corner`."""
    height, width = levels[0].shape[:2]
    scale = 500  # nm a pixel

    def image(name, sizes, first, view, objective):
        x, y, view_width, view_height = (scale * side for side in view)
        dimensions = "".join(
            f'<dimension sizeX="{w}" sizeY="{h}" r="{k}" ifd="{first + k}"/>'
            for k, (h, w) in enumerate(sizes)
        )
        return (
            f'<image name="{name}" uuid="urn:uuid:{first}"><creationDate>2020-01-01T00:00:00Z'
            '</creationDate><device model="Leica SCN400" version="1"/>'
            f'<pixels sizeX="{sizes[0][1]}" sizeY="{sizes[0][0]}">{dimensions}</pixels>'
            f'<view sizeX="{view_width}" sizeY="{view_height}" offsetX="{x}" offsetY="{y}" '
            'spacingZ="0"/><scanSettings><objectiveSettings>'
            f"<objective>{objective}</objective></objectiveSettings><illuminationSettings>"
            "<numericalAperture>0.4</numericalAperture><illuminationSource>brightfield"
            "</illuminationSource></illuminationSettings></scanSettings></image>"
        )

    macro = picture(300, 200, seed=9)
    xml = (
        '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01" '
        'uuid="urn:uuid:a"><collection name="a" uuid="urn:uuid:b" '
        f'sizeX="{2000 * scale}" sizeY="{3000 * scale}" barcode="">'
        + image("macro", [macro.shape[:2]], 0, (0, 0, 2000, 3000), 0.6)
        + image("main", [level.shape[:2] for level in levels], 1, (*corner, width, height), 20)
        + "</collection></scn>"
    )
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for number, level in enumerate([macro, *levels]):
            file.write(
                level,
                tile=(128, 128),
                photometric="rgb",
                compression="jpeg",
                compressionargs={"level": 95},
                description=xml if number == 0 else None,
                metadata=None,
                resolution=(1e4 / MPP, 1e4 / MPP),
                resolutionunit="CENTIMETER",
            )
    return path


def write_mrxs(path, levels, *, corner=(128, 256)):
    """3DHISTECH's MRXS: 1024 × 768 pixels of which `levels` fill a part, its corner at `corner`.

    Every level is stored in images of 128 × 128 pixels; those without tissue are left out.
    """
    side, rows, columns, slide_id = 128, 6, 8, "0123456789ABCDEF"
    folder = path.with_suffix("")
    folder.mkdir()
    Image.fromarray(picture(40, 40)).save(path, format="JPEG")  # the label
    data, pages = b"", []
    for number, level in enumerate(levels):
        canvas = np.full((rows * side >> number, columns * side >> number, 3), 255, np.uint8)
        x, y = (place >> number for place in corner)
        canvas[y : y + level.shape[0], x : x + level.shape[1]] = level
        page = b""
        for row in range(-(-canvas.shape[0] // side)):
            for column in range(-(-canvas.shape[1] // side)):
                image = canvas[row * side :, column * side :][:side, :side]
                if (image == 255).all():
                    continue
                whole_image = np.full((side, side, 3), 255, np.uint8)
                whole_image[: image.shape[0], : image.shape[1]] = image
                packed = BytesIO()
                Image.fromarray(whole_image).save(packed, "PNG")
                index = (row * columns + column) << number
                page += struct.pack("<4i", index, len(data), len(packed.getvalue()), 0)
                data += packed.getvalue()
        pages.append(struct.pack("<2i", len(page) // 16, 0) + page)
    (folder / "Data0000.dat").write_bytes(data)
    (folder / "Index.dat").write_bytes(_mrxs_index(slide_id, pages))
    (folder / "Slidedat.ini").write_text(_mrxs_text(slide_id, rows, columns, side, len(levels)))
    return path


def _mrxs_index(slide_id, pages):
    """Pointers to a record of each level, and from there to the list of its images."""
    head = b"01.02" + slide_id.encode()
    table = len(head) + 8
    records = table + 4 * len(pages)
    places = np.cumsum([records + 8 * len(pages), *map(len, pages)])
    pointers = b"".join(struct.pack("<i", records + 8 * k) for k in range(len(pages)))
    found = b"".join(struct.pack("<2i", 0, place) for place in places[:-1])
    return head + struct.pack("<2i", table, 0) + pointers + found + b"".join(pages)


def _mrxs_text(slide_id, rows, columns, side, count):
    names = [f"LAYER_0_LEVEL_{k}_SECTION" for k in range(count)]
    hierarchy = "".join(f"HIER_0_VAL_{k}_SECTION={name}\n" for k, name in enumerate(names))
    sections = "".join(
        f"[{name}]\nOVERLAP_X=0\nOVERLAP_Y=0\nMICROMETER_PER_PIXEL_X={MPP * 2**k}\n"
        f"MICROMETER_PER_PIXEL_Y={MPP * 2**k}\nIMAGE_FORMAT=PNG\nIMAGE_FILL_COLOR_BGR=16777215\n"
        f"DIGITIZER_WIDTH={side}\nDIGITIZER_HEIGHT={side}\nIMAGE_CONCAT_FACTOR={min(k, 1)}\n"
        for k, name in enumerate(names)
    )
    return (
        f"[GENERAL]\nSLIDE_VERSION=01.02\nSLIDE_ID={slide_id}\nIMAGENUMBER_X={columns}\n"
        f"IMAGENUMBER_Y={rows}\nOBJECTIVE_MAGNIFICATION=20\nCameraImageDivisionsPerSide=1\n"
        f"[HIERARCHICAL]\nINDEXFILE=Index.dat\nHIER_COUNT=1\nNONHIER_COUNT=0\n"
        f"HIER_0_NAME=Slide zoom level\nHIER_0_COUNT={count}\n{hierarchy}"
        f"[DATAFILE]\nFILE_COUNT=1\nFILE_0=Data0000.dat\n{sections}"
    )


def windows(slide, level, size):
    """The level, put together from windows of `size` that lie side by side."""
    height, width = slide.levels[level].size
    rows = []
    for y in range(0, height, size):
        row = [
            slide.read(level, x, y, min(size, width - x), min(size, height - y))
            for x in range(0, width, size)
        ]
        rows.append(np.concatenate(row, axis=1))
    return np.concatenate(rows, axis=0)


def whole(slide, level=0):
    height, width = slide.levels[level].size
    return slide.read(level, 0, 0, width, height)


def folder_of_slides(real_data: Path) -> Path:
    folder = real_data / "slides"
    if not folder.is_dir():
        pytest.skip("no real slides: TRANSFER_KIT_DATA has no folder slides/")
    return folder
