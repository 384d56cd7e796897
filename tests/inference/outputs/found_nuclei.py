"""Nuclei of a slide made by code: as columns, with and without outlines."""

from __future__ import annotations

import numpy as np
import shapely
from drawn_instances import annotated, scattered_discs

from transfer_kit.inference.found import FoundNuclei, SlideFacts
from transfer_kit.inference.outlines import outlines_of

CLASSES = ("tumour", "", 'it\'s "odd", ä')


def facts(size=(90, 110), *, mpp=0.25, searched="all", model="breast"):
    """A slide's facts; by default all of it was searched."""
    if searched == "all":
        searched = shapely.MultiPolygon([shapely.box(-0.5, -0.5, size[1] - 0.5, size[0] - 0.5)])
    return SlideFacts("slide.svs", size, mpp, searched, model, 0.5, 3.0)


NOTHING = facts(searched=shapely.MultiPolygon())


def found_points(count, *, seed=0, classes=CLASSES, size=(90, 110)):
    """Centres alone, anywhere."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, (size[1] - 1, size[0] - 1), (count, 2)).astype(np.float32)
    kinds = rng.integers(0, len(classes), count).astype(np.uint16)
    return FoundNuclei(points, rng.uniform(0.5, 1, count).astype(np.float32), kinds, classes)


def found_instances(instances, *, classes=CLASSES, seed=0):
    """The nuclei of an instance map, with outlines; every fourth has a centre of its own."""
    points = annotated(instances).points.copy()
    points[::4] += np.float32(0.25)
    rng = np.random.default_rng(seed)
    outlines = np.empty(len(points), object)
    outlines[:] = outlines_of(instances, len(points))
    return FoundNuclei(
        points,
        rng.uniform(0.5, 1, len(points)).astype(np.float32),
        rng.integers(0, len(classes), len(points)).astype(np.uint16),
        classes,
        outlines,
    )


def found_outlines(seed=0):
    """Discs that touch, one with a hole, one in pieces, two without outline; and their map."""
    instances = scattered_discs(seed, count=40)
    last = int(instances.max())
    instances[20:40, 20:40] = last + 1
    instances[25:30, 25:36] = 0
    instances[60:64, 60:64] = instances[64:70, 64:70] = instances[60:63, 90:95] = last + 2
    present = np.unique(instances[instances > 0])
    instances = (np.searchsorted(present, instances) + 1).astype(np.int32) * (instances > 0)
    found = found_instances(instances, seed=seed)
    found.outlines[3] = found.outlines[7] = None
    return found, instances


EMPTY = found_points(0)
EMPTY_OUTLINES = FoundNuclei(EMPTY.points, EMPTY.scores, EMPTY.kinds, CLASSES, np.empty(0, object))
