"""Which detection is which annotated nucleus: the Hungarian matching, exact and fast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import (
    breadth_first_order,
    connected_components,
    maximum_flow,
    min_weight_full_bipartite_matching,
)
from scipy.spatial import cKDTree

Index = NDArray[np.intp]

# SciPy's sparse solver clears arrays as long as its matrix for every augmenting path, so many
# small components are solved fastest in portions of about this many nuclei.
_ROWS_A_PORTION = 512

# In a component beyond this, a point that stays alone would make the solver search all of it.
_LARGE_COMPONENT = 2048


@dataclass(frozen=True, eq=False)
class Match:
    """A one-to-one assignment of predicted points to reference points.

    Attributes:
        reference_index: Position of each pair's reference point, rising.
        predicted_index: Position of each pair's predicted point, as long as `reference_index`.
        distances: Distance of each pair in the unit of the points, float64.
        n_reference: Number of reference points, matched or not.
        n_predicted: Number of predicted points, matched or not.
    """

    reference_index: Index
    predicted_index: Index
    distances: NDArray[np.float64]
    n_reference: int
    n_predicted: int

    def __len__(self) -> int:
        return len(self.reference_index)

    @property
    def unmatched_reference(self) -> Index:
        """Positions of the reference points without a partner, rising."""
        return _others(self.reference_index, self.n_reference)

    @property
    def unmatched_predicted(self) -> Index:
        """Positions of the predicted points without a partner, rising."""
        return _others(self.predicted_index, self.n_predicted)


@dataclass(frozen=True, eq=False)
class _Edges:
    """The allowed pairs `(row[k], column[k])` at `distance[k]`."""

    row: Index
    column: Index
    distance: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.row)

    def take(self, where: Index | NDArray[np.bool_]) -> _Edges:
        return _Edges(self.row[where], self.column[where], self.distance[where])


def match_points(reference: ArrayLike, predicted: ArrayLike, radius: float) -> Match:
    """Match predicted points to reference points within `radius`, the best way that there is.

    MicroNet (paper 002, "Results", as KiNet, paper 001, section IV): a detection may be matched
    only within the circular gold-standard region of an annotation, at most one to each, with
    the Hungarian algorithm and the Euclidean distance as cost. The gate comes first; among the
    allowed pairs `E = {(i, j): |r_i - p_j| <= radius}` the assignment has the most pairs
    possible, and of all those with as many the least total distance::

        M* = argmin { sum_{(i,j) in M} |r_i - p_j| : M in E one-to-one, |M| = max |M'| }

    Gating *after* an unrestricted assignment is another measure and finds fewer pairs: a far
    pair that the gate then drops may have taken the partner of a near one.

    The result equals that of the dense Hungarian algorithm with forbidden pairs at a cost above
    all others. It is found in parts: pairs that concern nobody else; connected components by a
    sparse solver (Jonker and Volgenant 1987); and components of thousands, which arise only
    where the radius is well above the spacing of nuclei, after a Dulmage-Mendelsohn
    decomposition (Pothen and Fan 1990, ACM TOMS 16:303).

    Args:
        reference: Annotated points `(N, 2)`.
        predicted: Detected points `(M, 2)`, in the unit of `reference`.
        radius: Largest allowed distance, inclusive, in the same unit.

    Raises:
        ValueError: a coordinate or the radius is not a finite number, or a shape is not `(N, 2)`.

    Example:
        >>> match_points([[0, 0], [10, 0]], [[1, 0], [50, 0]], radius=5).distances
        array([1.])
    """
    rows, columns = _checked(reference, "reference"), _checked(predicted, "predicted")
    if not np.isfinite(radius) or radius < 0:
        raise ValueError(f"radius must be a finite number of at least 0, but got {radius=}")
    edges = _gate(rows, columns, float(radius))
    pairs = edges.take(_best(edges, len(rows), len(columns)))
    pairs = pairs.take(np.argsort(pairs.row))
    return Match(pairs.row, pairs.column, pairs.distance, len(rows), len(columns))


def allowed_pairs(
    reference: ArrayLike, predicted: ArrayLike, radius: float
) -> tuple[Index, Index, NDArray[np.float64]]:
    """All pairs within `radius`: positions in `reference`, in `predicted`, and distances.

    Raises:
        ValueError: as `match_points`.
    """
    edges = _gate(_checked(reference, "reference"), _checked(predicted, "predicted"), radius)
    return edges.row, edges.column, edges.distance


def _checked(points: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(points, np.float64)
    if array.size == 0:
        return array.reshape(0, 2)
    if array.ndim != 2 or array.shape[1] != 2:
        raise ValueError(f"{name} must have the shape (N, 2), but got {array.shape}")
    if not np.isfinite(array).all():
        first = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise ValueError(f"{name} must be finite, but point {first} is {array[first].tolist()}")
    return array


def _gate(rows: NDArray[np.float64], columns: NDArray[np.float64], radius: float) -> _Edges:
    if not len(rows) or not len(columns):
        return _Edges(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0))
    # The tree compares squares; a hair more, then an exact test, keeps the rim inclusive.
    slack = radius * (1 + 1e-9) + 1e-12
    near = cKDTree(rows).sparse_distance_matrix(cKDTree(columns), slack, output_type="ndarray")
    row, column = near["i"].astype(np.intp), near["j"].astype(np.intp)
    distance = np.hypot(*(rows[row] - columns[column]).T)
    return _Edges(row, column, distance).take(distance <= radius)


def _best(edges: _Edges, n_rows: int, n_columns: int) -> Index:
    """Positions in `edges` of the best assignment."""
    alone = (np.bincount(edges.row, minlength=n_rows)[edges.row] == 1) & (
        np.bincount(edges.column, minlength=n_columns)[edges.column] == 1
    )
    crowded = np.flatnonzero(~alone)
    chosen = [np.flatnonzero(alone)]
    for portion in _portions(edges.take(crowded)):
        part = crowded[portion]
        if len(np.unique(edges.row[part])) <= _LARGE_COMPONENT:
            chosen.append(part[_cheapest(edges.take(part))])
            continue
        for piece in _decomposed(edges.take(part)):
            for small in _portions(edges.take(part[piece])):
                within = part[piece[small]]
                chosen.append(within[_cheapest(edges.take(within))])
    return np.concatenate(chosen)


def _portions(edges: _Edges) -> list[Index]:
    """Positions in `edges` cut into portions of whole connected components."""
    if not len(edges):
        return []
    row, column = _compact(edges.row), _compact(edges.column)
    n_rows, n_columns = int(row.max()) + 1, int(column.max()) + 1
    joined = _flags(row, n_rows + column, n_rows + n_columns)
    component = connected_components(joined, directed=False)[1]
    sizes = np.bincount(component[:n_rows])
    portion = ((np.cumsum(sizes) - sizes) // _ROWS_A_PORTION)[component[row]]
    order = np.argsort(portion, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(portion[order])) + 1)


def _cheapest(edges: _Edges) -> Index:
    """Positions of the most pairs at the least total distance, by sparse Jonker-Volgenant.

    Every row is given a column of its own for "unmatched", at a cost above what any chain of
    exchanges can save, so that an assignment of all rows exists and leaves the fewest there.
    """
    row, column = _compact(edges.row), _compact(edges.column)
    n_rows, n_columns = int(row.max()) + 1, int(column.max()) + 1
    if n_rows > n_columns:
        row, column, n_rows, n_columns = column, row, n_columns, n_rows
    unmatched = (n_rows + 1) * (edges.distance.max() + 1.0)
    every = np.arange(n_rows)
    where = (np.concatenate([row, every]), np.concatenate([column, n_columns + every]))
    # The solver takes a zero for "no edge"; one added to every cost changes no comparison.
    cost = np.concatenate([edges.distance, np.full(n_rows, unmatched)]) + 1.0
    shape = (n_rows, n_columns + n_rows)
    rows, columns = min_weight_full_bipartite_matching(csr_array((cost, where), shape=shape))
    column_of = np.empty(n_rows, np.intp)
    column_of[rows] = columns
    return np.flatnonzero(column_of[row] == column)


def _decomposed(edges: _Edges) -> list[Index]:
    """Positions in `edges` of the pairs that a largest matching may contain, in three parts.

    The coarse Dulmage-Mendelsohn decomposition: what alternating paths reach from the rows that
    a largest matching leaves alone, what they reach from such columns, and the rest. A pair
    across two of these lies in no largest matching; within each, every largest matching uses up
    one side, so that no search for a partner goes far.
    """
    row, column = _compact(edges.row), _compact(edges.column)
    column_of, row_of = _largest_matching(row, column)
    spare_rows, their_columns = _alternating(row, column, column_of, row_of)
    spare_columns, their_rows = _alternating(column, row, row_of, column_of)
    part_of_row = spare_rows + 2 * their_rows
    part_of_column = their_columns + 2 * spare_columns
    part = np.where(part_of_row[row] == part_of_column[column], part_of_row[row], -1)
    return [np.flatnonzero(part == k) for k in range(3)]


def _largest_matching(row: Index, column: Index) -> tuple[Index, Index]:
    """The column of each row and the row of each column in a matching of most pairs, else -1.

    By maximum flow with Dinic's algorithm; SciPy's Hopcroft-Karp does not mark dead ends and
    takes exponential time where nuclei are dense.
    """
    n_rows, n_columns = int(row.max()) + 1, int(column.max()) + 1
    source, sink = n_rows + n_columns, n_rows + n_columns + 1
    rows, columns = np.arange(n_rows), n_rows + np.arange(n_columns)
    start = np.concatenate([np.full(n_rows, source), row, columns])
    end = np.concatenate([rows, n_rows + column, np.full(n_columns, sink)])
    flow = maximum_flow(_flags(start, end, sink + 1), source, sink, method="dinic").flow.tocoo()
    used = (flow.data > 0) & (flow.row < n_rows) & (flow.col < source)
    column_of, row_of = np.full(n_rows, -1, np.intp), np.full(n_columns, -1, np.intp)
    column_of[flow.row[used]] = flow.col[used] - n_rows
    row_of[flow.col[used] - n_rows] = flow.row[used]
    return column_of, row_of


def _alternating(
    near: Index, far: Index, mate_of_near: Index, mate_of_far: Index
) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """What alternating paths reach from the unmatched of the near side: 1 or 0 on both sides."""
    source = len(mate_of_near)
    free = np.flatnonzero(mate_of_near < 0)
    start = np.concatenate([near, np.full(len(free), source)])
    end = np.concatenate([mate_of_far[far], free])
    known = end >= 0
    steps = _flags(start[known], end[known], source + 1)
    order = breadth_first_order(steps, source, return_predecessors=False)
    reached_near, reached_far = np.zeros(source, int), np.zeros(len(mate_of_far), int)
    reached_near[order[1:]] = 1
    reached_far[far[reached_near[near] == 1]] = 1
    return reached_near, reached_far


def _flags(start: Index, end: Index, size: int) -> csr_array:
    return csr_array((np.ones(len(start), np.int32), (start, end)), shape=(size, size))


def _compact(labels: Index) -> Index:
    """The same labels counted from 0 without gaps, in their order."""
    used = np.zeros(int(labels.max()) + 1, bool)
    used[labels] = True
    counted: Index = (np.cumsum(used) - 1)[labels]
    return counted


def _others(index: Index, count: int) -> Index:
    free = np.ones(count, bool)
    free[index] = False
    return np.flatnonzero(free)
