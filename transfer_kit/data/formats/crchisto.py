"""CRCHistoPhenotypes: MATLAB files of nuclear centres, all together and by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.io
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats.base import ImageInfo
from transfer_kit.errors import UserError

CLASS_SUFFIXES = ("_epithelial", "_fibroblast", "_inflammatory", "_others")
_ALL = "detection"
_SAME_NUCLEUS_PX = 6.0  # the set's own matching radius, at 20x


@dataclass(frozen=True)
class CrcHisto:
    """A `*_detection.mat` with every centre, `*_CLASS.mat` with those of a class, or both.

    MATLAB counts from 1, so 1 is subtracted. With both kinds, the detection file says which nuclei
    there are: each class mark names the nearest one not yet named within 6 px, the set's own
    radius, nearest pairs first; a mark that finds none is a nucleus of its own. Nuclei that no
    class file has keep the class "".
    """

    name: str = "crchisto"
    description: str = "CRCHistoPhenotypes .mat: detection file, class files, or both"

    def recognises(self, path: Path) -> bool:
        """A MATLAB file with a `detection` matrix."""
        if path.suffix.lower() != ".mat":
            return False
        try:
            return _ALL in {name for name, _, _ in scipy.io.whosmat(path)}
        except Exception:  # SciPy raises many kinds; the name then decides, and reading explains
            return path.stem.endswith((f"_{_ALL}", *CLASS_SUFFIXES))

    def images_of(self, path: Path) -> frozenset[str]:
        """None: a file serves one image."""
        return frozenset()

    def read(self, paths: tuple[Path, ...], image: ImageInfo) -> Annotation:
        """Centres of the detection file with classes of the class files.

        Raises:
            UserError: a file is damaged or holds no `(N, 2)` matrix `detection`.
        """
        everything = [path for path in paths if path.stem.endswith(f"_{_ALL}")]
        by_class = sorted(set(paths) - set(everything))
        points = [_points(path) for path in everything]
        centres = np.concatenate(points) if points else np.zeros((0, 2))
        marks = [_points(path) for path in by_class]
        names = [path.stem.rsplit("_", 1)[-1] for path in by_class]
        return _merged(centres, marks, names)


def _points(path: Path) -> NDArray[np.float64]:
    mend = "download it again from CRCHistoPhenotypes"
    if not path.is_file():
        raise UserError(f"{path} cannot be read (no such file); check the path.")
    try:
        matrix = scipy.io.loadmat(path, variable_names=[_ALL]).get(_ALL)
    except NotImplementedError as error:
        raise UserError(
            f"{path} is a MATLAB 7.3 file; save it in MATLAB with the option -v7."
        ) from error
    except Exception as error:  # SciPy raises many kinds on damaged files
        raise UserError(f"{path} is damaged or cut short; {mend}.") from error
    if matrix is None:
        raise UserError(f"{path} holds no matrix named '{_ALL}'; {mend}.")
    if matrix.size == 0:
        return np.zeros((0, 2))
    if matrix.ndim != 2 or matrix.shape[1] != 2 or matrix.dtype.kind not in "fiu":
        shape = " x ".join(str(n) for n in matrix.shape)
        raise UserError(f"{path}: '{_ALL}' is {shape}, not N x 2 (x and y); {mend}.")
    faulty = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if len(faulty):
        raise UserError(f"{path}, row {faulty[0] + 1}: no finite number; correct it in the file.")
    return np.asarray(matrix.astype(np.float64) - 1)


def _merged(
    centres: NDArray[np.float64], marks: Sequence[NDArray[np.float64]], names: Sequence[str]
) -> Annotation:
    classes = [""] * len(centres)
    where = np.concatenate([np.zeros((0, 2)), *marks])
    of = [name for name, own in zip(names, marks, strict=True) for _ in own]
    taken = _partners(centres, where)
    for mark, centre in taken.items():
        classes[centre] = of[mark]
    alone = [k for k in range(len(where)) if k not in taken]
    points = np.concatenate([centres, where[alone]])
    return Annotation(points.astype(np.float32), (*classes, *(of[k] for k in alone)))


def _partners(centres: NDArray[np.float64], marks: NDArray[np.float64]) -> dict[int, int]:
    """Mark to centre, one to one, nearest pairs first."""
    if not len(centres) or not len(marks):
        return {}
    pairs = cKDTree(marks).sparse_distance_matrix(
        cKDTree(centres), _SAME_NUCLEUS_PX, output_type="ndarray"
    )
    partner: dict[int, int] = {}
    used: set[int] = set()
    for pair in np.sort(pairs, order=["v", "i", "j"]):
        mark, centre = int(pair["i"]), int(pair["j"])
        if mark not in partner and centre not in used:
            partner[mark] = centre
            used.add(centre)
    return partner
