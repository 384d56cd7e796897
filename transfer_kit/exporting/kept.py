"""A detector's network as a runtime runs it, exported once on a machine and kept."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock

from transfer_kit import __version__
from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.exporting.equality import CHECKED, refuse_other_maps
from transfer_kit.exporting.formats import FORMATS, export_detector
from transfer_kit.exporting.runtime import Runtime, load_runtime
from transfer_kit.exporting.tracing import ready_network
from transfer_kit.stores.locations import cache_folder


def kept_runtime(
    detector: Detector, weights: str, format: str, *, threads: int | None = None
) -> Runtime:
    """The network in a runtime, from the folder of caches, exported into it at the first asking.

    Processes that ask for the same at once wait for the one that exports.

    Args:
        detector: Whose network it is.
        weights: The hash of its file, see `weights_hash`.
        format: `onnx` or `openvino`.
        threads: Of `load_runtime`.

    Raises:
        UserError: the runtime is not installed, the network cannot be exported, or the file not be
            written.
    """
    path = cache_folder() / "exported" / f"{weights}-{__version__}{FORMATS[format][0]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        kept = _read(path, detector, threads) if path.is_file() else None
        if kept is not None:
            return kept
        export_detector(detector, path, format=format)
        return load_runtime(path, threads=threads)


def _read(path: Path, detector: Detector, threads: int | None) -> Runtime | None:
    """What is in a kept file; None where it is damaged, or gives maps of another network."""
    try:
        kept = load_runtime(path, threads=threads)
        # The version of a checkout stays the same while its code changes.
        refuse_other_maps(kept, ready_network(detector), checked=CHECKED[:1])
    except UserError:
        return None
    return kept
