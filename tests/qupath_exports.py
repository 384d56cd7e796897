"""Files in the shape that QuPath's versions export, after its own type adapters.

All of one picture: a labelled region with a hole, a tumour in two parts, nuclei as polygon,
ellipse, points and cell, a tile and a TMA core. Coordinates have at most two decimals, as QuPath
writes them.
"""

from __future__ import annotations

import json

SQUARE = [[[10, 10], [18, 10], [18, 18.25], [10, 18], [10, 10]]]
ROUND = [[[30.5, 26], [34.25, 28.12], [34, 33.99], [28.01, 34], [27, 28], [30.5, 26]]]
CELL = [[[50, 50], [80, 50], [80, 80], [50, 80], [50, 50]]]
INNER = [[[60, 60], [70, 60], [70, 70], [60, 70], [60, 60]]]
WITH_HOLE = [
    [[0, 0], [100, 0], [100, 100], [0, 100], [0, 0]],
    [[90, 90], [95, 90], [95, 95], [90, 95], [90, 90]],
]
TWO_PARTS = [SQUARE, [[[40, 40], [44, 40], [44, 44.44], [40, 40]]]]
POINTS = [[20.33, 70.01], [24.67, 71], [28.5, 72.99]]
IDS = [f"{number:08x}-0d1f-4d18-9a9d-4a2b7a4f6a11" for number in range(20)]


def _geometry(kind, coordinates, **members):
    return {"type": kind, "coordinates": coordinates, **members}


def _feature(geometry, properties, **members):
    return {"type": "Feature", **members, "geometry": geometry, "properties": properties}


def version_0_2():
    """An array; the type stands in the id, classes have colorRGB, measurements are a list."""
    measured = [{"name": "Area µm^2", "value": 31.4}, {"name": "Nucleus: OD", "value": 0.1 + 0.2}]
    tumor = {"name": "Tumor", "colorRGB": -3670016}
    return [
        _feature(
            _geometry("Polygon", WITH_HOLE),
            {"classification": {"name": "Region*", "colorRGB": -16776961}, "isLocked": True},
            id="PathAnnotationObject",
        ),
        _feature(
            _geometry("Polygon", SQUARE),
            {"classification": tumor, "isLocked": False, "measurements": measured},
            id="PathDetectionObject",
        ),
        _feature(
            _geometry("MultiPoint", POINTS),
            {"name": "Points 1", "isLocked": False, "measurements": []},
            id="PathAnnotationObject",
        ),
        _feature(_geometry("Polygon", CELL), {"isLocked": False}, id="PathTileObject"),
        _feature(_geometry("Polygon", CELL), {"isMissing": False}, id="TMACoreObject"),
    ]


def version_0_3():
    """`object_type`; a derived class holds its parent; cells have their nucleus beside them."""
    tumor = {"name": "Tumor", "colorRGB": -3670016}
    positive = {"parentClass": tumor, "name": "Positive", "colorRGB": -377282}
    return {
        "type": "FeatureCollection",
        "features": [
            _feature(
                _geometry("Polygon", WITH_HOLE),
                {
                    "object_type": "annotation",
                    "name": "what I labelled",
                    "classification": {"name": "Labelled region", "colorRGB": -1},
                    "isLocked": True,
                    "metadata": {"ANNOTATION_DESCRIPTION": "by two of us; ä"},
                },
            ),
            _feature(
                _geometry("Polygon", CELL),
                {
                    "object_type": "cell",
                    "classification": positive,
                    "isLocked": False,
                    "measurements": [{"name": "Nucleus: Area", "value": 100.0}],
                },
                nucleusGeometry=_geometry("Polygon", INNER),
            ),
            _feature(
                _geometry("Polygon", ROUND),
                {"object_type": "annotation", "color": [255, 0, 7], "isLocked": False},
            ),
        ],
    }


def version_0_4():
    """Ids are UUIDs; classes have names and a colour of three; measurements are a mapping."""
    tumor = {"name": "Tumor", "color": [200, 0, 0]}
    return {
        "type": "FeatureCollection",
        "features": [
            _feature(
                _geometry("Polygon", WITH_HOLE),
                {
                    "objectType": "annotation",
                    "classification": {"name": "Labelled region", "color": [0, 128, 0]},
                    "isLocked": True,
                },
                id=IDS[0],
            ),
            _feature(
                _geometry("MultiPolygon", TWO_PARTS),
                {
                    "objectType": "annotation",
                    "name": "edge",
                    "color": [1, 2, 3],
                    "classification": {"name": "Region: tumour", "color": [9, 9, 9]},
                    "measurements": {"Num Detections": 7.0, "µm": "NaN"},
                },
                id=IDS[1],
            ),
            _feature(
                _geometry("Polygon", ROUND, isEllipse=True),
                {"objectType": "annotation", "classification": tumor},
                id=IDS[2],
            ),
            _feature(
                _geometry("Polygon", CELL, plane={"c": -1, "z": 2, "t": 0}),
                {
                    "objectType": "cell",
                    "classification": {"names": ["Tumor", "Positive"], "color": [250, 62, 62]},
                    "measurements": {"Nucleus: Area µm^2": 6.25, "Cell: DAB OD": 0.1 + 0.2},
                },
                id=IDS[3],
                nucleusGeometry=_geometry("Polygon", INNER, plane={"c": -1, "z": 2, "t": 0}),
            ),
            _feature(
                _geometry("MultiPoint", POINTS),
                {"objectType": "annotation", "classification": tumor, "isLocked": True},
                id=IDS[4],
            ),
            _feature(
                _geometry("Point", [5.25, 6.75]),
                {"objectType": "detection", "measurements": {"Detection score": 0.25}},
                id=IDS[5],
            ),
            _feature(_geometry("Polygon", SQUARE), {"objectType": "tile"}, id=IDS[6]),
            _feature(
                _geometry("Polygon", CELL, isEllipse=True),
                {"objectType": "tmaCore", "name": "A-1", "isMissing": True},
                id=IDS[7],
            ),
        ],
    }


def version_0_5():
    """As 0.4; all objects may have metadata."""
    document = version_0_4()
    for number, feature in enumerate(document["features"]):
        feature["properties"]["metadata"] = {"grade": str(number), "by": "Dr. Ä"}
    return document


def version_0_6_without_measurements():
    """As 0.5, with EXCLUDE_MEASUREMENTS."""
    document = version_0_5()
    for feature in document["features"]:
        feature["properties"].pop("measurements", None)
    return document


EXPORTS = {
    "0.2": version_0_2,
    "0.3": version_0_3,
    "0.4": version_0_4,
    "0.5": version_0_5,
    "0.6 without measurements": version_0_6_without_measurements,
}


def with_metadata_twice(document):
    """The text of a file as QuPath 0.5 writes it: an annotation's metadata stand there twice."""
    text = json.dumps(document)
    metadata = '"metadata": {"ANNOTATION_DESCRIPTION": "by two of us; \\u00e4"}'
    assert metadata in text
    return text.replace(metadata, f"{metadata}, {metadata}")
