"""Do the points lie on nuclei: outside, twice, with x and y exchanged, or shifted?"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from transfer_kit.data.annotation import Points
from transfer_kit.data.check.darkness import inside, nuclear_signal, values_at
from transfer_kit.data.check.finding import Finding
from transfer_kit.data.sample import Sample
from transfer_kit.wording import counted

_DUPLICATE_PX = 0.5
_RIM_PX = 2.0  # a slip of the hand; farther out, something is wrong with the file
_FEWEST_POINTS = 20  # below, chance decides where points seem to lie
_SMOOTHING_UM = 1.5
_SURROUNDINGS_UM = 10.0
_SEARCHED_UM = 10.0
_LEAST_SHIFT_UM = 2.5
_SIGNIFICANT = 5.0  # standard errors


def check_positions(
    sample: Sample, image: NDArray[np.uint8], points: Points, stain: str
) -> list[Finding]:
    """Findings about the points of one sample."""
    file = str(sample.source.paths[0]) if sample.source else str(sample.image_path)
    return [
        *_outside(file, points, (image.shape[0], image.shape[1])),
        *_duplicates(file, points),
        *_misplaced(sample, file, points, nuclear_signal(image, stain)),
    ]


def _outside(file: str, points: Points, shape: tuple[int, int]) -> list[Finding]:
    out = points[~inside(points, shape)]
    if not len(out):
        return []
    nearest = np.clip(out, -0.5, np.array(shape[::-1], np.float32) - 0.5)
    by = np.hypot(*(out - nearest).T)
    x, y = out[int(by.argmax())]
    text = (
        f"{file} has {len(out)} of {counted(len(points), 'nucleus')} outside the image of "
        f"{shape[1]}x{shape[0]}, the farthest by {by.max():.1f} px at ({x:g}, {y:g}); correct or "
        "delete them"
    )
    if by.max() <= _RIM_PX:
        return [Finding("warning", "outside", file, f"{text}.")]
    text += ", and check that the file belongs to this image at this magnification."
    return [Finding("error", "outside", file, text)]


def _duplicates(file: str, points: Points) -> list[Finding]:
    if len(points) < 2:
        return []
    pairs = cKDTree(points).query_pairs(_DUPLICATE_PX, output_type="ndarray")
    if not len(pairs):
        return []
    x, y = points[pairs[0][0]]
    text = (
        f"{file} has {counted(len(set(pairs[:, 1].tolist())), 'nucleus')} twice (within "
        f"{_DUPLICATE_PX} px), the first at ({x:g}, {y:g}); delete the copies."
    )
    return [Finding("warning", "duplicate-points", file, text)]


def _misplaced(
    sample: Sample, file: str, points: Points, signal: NDArray[np.float32]
) -> list[Finding]:
    """Nuclei are darker than their surroundings: are the points on them, or nearly so?

    Contrast is the signal's mean at the points, less that of its surroundings (a Gaussian of 10 µm,
    so that ink or melanin does not count); its standard error is the deviation over √n. Exchanged:
    contrast at (y, x) is significant and at least twice that at (x, y). Shifted: contrast elsewhere
    is half as large again as at the points. In µm: as exchanged, at the points divided by the mpp.
    """
    points = points[inside(points, (signal.shape[0], signal.shape[1]))]
    if len(points) < _FEWEST_POINTS:
        return []
    smooth = _blurred(signal, _SMOOTHING_UM / sample.mpp)
    smooth = smooth - _blurred(signal, _SURROUNDINGS_UM / sample.mpp)
    smooth = (smooth - smooth.mean()) / max(float(smooth.std()), 1e-6)
    here = float(values_at(smooth, points).mean())
    error = 1 / np.sqrt(len(points))
    if _lie_rather_at(points[:, ::-1], smooth, here):
        text = (
            f"x and y of {file} are exchanged: nuclei are dark at (y, x), not at (x, y); "
            "exchange the two columns, or transpose the label image."
        )
        return [Finding("error", "exchanged-xy", file, text)]
    in_pixels = points / np.float32(sample.mpp)
    if not 0.8 < sample.mpp < 1.25 and _lie_rather_at(in_pixels, smooth, here):
        text = (
            f"The positions in {file} are in µm, not pixels: nuclei are dark at "
            f"(x / {sample.mpp:g}, y / {sample.mpp:g}), not at (x, y); export pixels."
        )
        return [Finding("error", "micrometres", file, text)]
    (dx, dy), best = _best_shift(smooth, points, round(_SEARCHED_UM / sample.mpp))
    far = np.hypot(dx, dy) * sample.mpp > _LEAST_SHIFT_UM
    if (
        far
        and best > _SIGNIFICANT * error
        and best > 1.5 * max(here, 0)
        and best - here > 3 * error
    ):
        text = (
            f"The nuclei of {file} are shifted: the image is darker {dx:+d} px in x and {dy:+d} px "
            f"in y from them ({np.hypot(dx, dy) * sample.mpp:.1f} µm); move them there."
        )
        return [Finding("error", "shifted", file, text)]
    if here < 2 * error:
        text = (
            f"The nuclei of {file} do not lie on anything darker than its surroundings; check "
            "that the file belongs to this image, and the stain in the card."
        )
        return [Finding("warning", "off-nuclei", file, text)]
    return []


def _lie_rather_at(others: Points, smooth: NDArray[np.float32], here: float) -> bool:
    """Whether contrast at other places, nearly all inside, is significant and twice that `here`."""
    values = values_at(smooth, others)
    if len(values) < 0.9 * len(others):
        return False
    there = float(values.mean())
    return there > _SIGNIFICANT / np.sqrt(len(others)) and there > 2 * max(here, 0)


def _blurred(field: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    """A Gaussian blur; broad ones are made of a quarter of the size, which is as good."""
    if sigma_px < 12:
        return np.asarray(cv2.GaussianBlur(field, (0, 0), sigma_px), np.float32)
    small = cv2.resize(field, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    broad = cv2.GaussianBlur(small, (0, 0), sigma_px / 4)
    size = (field.shape[1], field.shape[0])
    return np.asarray(cv2.resize(broad, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _best_shift(
    smooth: NDArray[np.float32], points: Points, reach: int
) -> tuple[tuple[int, int], float]:
    """The shift (dx, dy) of at most `reach` pixels that lays the points on the highest mean."""
    padded = np.pad(smooth, reach)
    mean = np.zeros((2 * reach + 1, 2 * reach + 1), np.float64)
    for x, y in np.rint(points).astype(np.intp):
        mean += padded[y : y + 2 * reach + 1, x : x + 2 * reach + 1]
    mean /= len(points)
    row, column = np.unravel_index(int(np.argmax(mean)), mean.shape)
    return (int(column) - reach, int(row) - reach), float(mean[row, column])
