"""Descriptions of decoding followed step by step in NumPy, SciPy and scikit-image alone.

Everything is taken from the description and the maps, nothing from the codec.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.special import expit, softmax
from skimage.filters import threshold_otsu
from skimage.measure import label
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

EIGHT = np.ones((3, 3))


def followed(decoding, maps):
    """Rows of x, y, score and class number, best first."""
    found = {
        "proximity": _proximity,
        "kinet": _proximity,
        "objectness": _objectness,
        "voting": _voting,
        "distance": _distance,
        "semantic": _semantic,
        "concentric": _concentric,
    }[decoding["codec"]](decoding["numbers"], decoding["maps"], maps.astype(np.float64))
    kept = [row for row in found if row[2] >= decoding["numbers"]["threshold"]]
    return np.array(sorted(kept, key=lambda row: -row[2])).reshape(-1, 4)


def channels(meanings, activation):
    """Of the maps whose activation begins so."""
    return [each["channel"] for each in meanings if each["activation"].startswith(activation)]


def peaks(h, window):
    """Place, and pixel, of each peak of h."""
    highest = ndimage.maximum_filter(h, size=2 * window + 1, mode="constant", cval=-np.inf)
    pieces, count = ndimage.label((h > 0) & (h == highest), EIGHT)
    found = []
    for number in range(1, count + 1):
        rows, columns = np.nonzero(pieces == number)  # row by row
        place = columns.mean(), rows.mean()
        found.append((-h[rows[0], columns[0]], rows[0], columns[0], place, len(rows)))
    kept = []
    for _, row, column, place, size in sorted(found):
        rounded = np.rint(np.float32(place))
        if all(np.abs(rounded - other).max() > window for _, _, other, _ in kept):
            kept.append((place, (row, column), rounded, size))
    return [(place, pixel) for place, pixel, _, _ in kept]


def _proximity(numbers, meanings, maps):
    heights = maps[channels(meanings, "none")]
    h = heights.max(axis=0)
    reference = h.max() if numbers["reference"] == "maximum" else numbers["reference"]
    rows = []
    for (x, y), (row, column) in peaks(h, numbers["window_px"]):
        score = h[row, column] / reference
        if numbers["subpixel"] and (round(x), round(y)) == (column, row):
            x, y = x + _shift(h[row], column), y + _shift(h[:, column], row)
        rows.append((x, y, score, heights[:, row, column].argmax()))
    return rows


def _shift(line, at):
    if not 0 < at < len(line) - 1:
        return 0.0
    a, b, c = line[at - 1 : at + 2]
    return np.clip(0.5 * (a - c) / (a - 2 * b + c), -0.5, 0.5) if a - 2 * b + c < 0 else 0.0


def _objectness(numbers, meanings, maps):
    p = expit(maps[0])
    reach = int(np.ceil(numbers["disc_px"]))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.hypot(x, y) < numbers["disc_px"]

    def mean(image):
        return ndimage.correlate(image, disc / disc.sum(), mode="mirror")

    classes = softmax(maps[1:], axis=0)
    joint = [mean(p * each) for each in classes]
    return [
        (x, y, mean(p)[pixel], int(np.argmax([each[pixel] for each in joint])))
        for (x, y), pixel in peaks(mean(p).astype(np.float32), numbers["window_px"])
    ]


def _voting(numbers, meanings, maps):
    (x_map, y_map) = channels(meanings, "none")
    strengths = expit(maps[channels(meanings, "sigmoid")])
    if numbers["weighted"]:
        (weight,) = channels(meanings, "max(0, 1 + map)")
        strengths = strengths * np.maximum(0, 1 + maps[weight])
    s = strengths.max(axis=0)
    height, width = s.shape
    votes = np.zeros_like(s)
    by_class = np.zeros_like(strengths)
    ends = {}
    for row in range(height):
        for column in range(width):
            x = column + numbers["vector_px"] * maps[x_map, row, column]
            y = row + numbers["vector_px"] * maps[y_map, row, column]
            at = round(y), round(x)
            near = np.hypot(x - column, y - row) <= numbers["farthest_px"]
            if near and 0 <= at[0] < height and 0 <= at[1] < width:
                votes[at] += s[row, column]
                by_class[(slice(None), *at)] += strengths[:, row, column]
                ends.setdefault(at, []).append((s[row, column], x, y))
    rows, columns = np.mgrid[:height, :width]
    found = []
    for _, (row, column) in peaks(votes, numbers["window_px"]):
        square = (rows - row) ** 2 + (columns - column) ** 2
        near = square <= numbers["score_px"] ** 2
        disk = (square < numbers["radius_px"] ** 2).sum()
        cast = [end for at in zip(*np.nonzero(near), strict=True) for end in ends.get(at, [])]
        place = column, row
        if numbers["subpixel"]:
            weights, x, y = np.array(cast).T
            place = np.average(x, weights=weights), np.average(y, weights=weights)
        found.append([*place, votes[near].sum(), by_class[:, near].sum(axis=1).argmax(), disk])
    most = max((row[2] for row in found), default=1)
    for row in found:
        row[2] /= {"disk": row.pop(), "maximum": most, "none": 1}[numbers["relative_to"]]
    return found


def _separated(numbers, height):
    levels = np.rint(np.clip(numbers["levels"] * height, 0, 255)).astype(int)
    hills = levels
    if numbers["dynamics"]:
        hills = reconstruction(levels - numbers["dynamics"], levels, footprint=EIGHT)
    foreground = height > numbers["foreground"]
    seeds = label(local_maxima(hills, connectivity=2) & foreground, connectivity=2)
    depths = 255.0 - levels
    depths[seeds > 0] += np.arange(1, (seeds > 0).sum() + 1) / (2 * (seeds > 0).sum())
    return watershed(depths, seeds, mask=foreground, connectivity=2)


def _of_pieces(pieces, score, heights):
    for number in range(1, pieces.max() + 1):
        inside = pieces == number
        rows, columns = np.nonzero(inside)
        class_number = heights[:, inside].sum(axis=1).argmax()
        yield columns.mean(), rows.mean(), score(inside), class_number


def _distance(numbers, meanings, maps):
    if meanings[0]["name"] == "background":
        maps = softmax(maps, axis=0)[1:]
    h = maps.max(axis=0)
    pieces = _separated(numbers, h)
    return _of_pieces(pieces, lambda inside: h[inside].max() * numbers["score_per_height"], maps)


def _semantic(numbers, meanings, maps):
    if meanings[0]["name"] == "background":
        p = softmax(maps, axis=0)
        q, p = 1 - p[0], p[1:]
    else:
        p = expit(maps)
        q = p.max(axis=0)
    if "levels" in numbers:
        pieces = _separated(numbers, q)
    else:
        pieces = label(q > numbers["foreground"], connectivity=2)
    return _of_pieces(pieces, lambda inside: q[inside].mean(), p)


def _concentric(numbers, meanings, maps):
    p = softmax(maps, axis=0)
    q = ndimage.gaussian_filter(1 - p[0], numbers["smoothing_px"], mode="mirror", truncate=4)
    above = numbers["binarisation"]
    if above == "otsu":
        above = (threshold_otsu(np.rint(255 * q).astype(np.uint8)) + 0.5) / 255
    pieces = label(q > above, connectivity=2)
    sizes = np.bincount(pieces.ravel())
    pieces[sizes[pieces] <= numbers["min_area_px"]] = 0
    pieces = label(pieces > 0, connectivity=2)
    return _of_pieces(pieces, lambda inside: q[inside].mean(), p[1:])
