"""Networks are exported for a runtime once, and kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from exporting.exported import largest_difference, skip_without, tiny_detector

from transfer_kit.errors import UserError
from transfer_kit.exporting import kept
from transfer_kit.exporting.kept import kept_runtime

WEIGHTS = "a" * 64


@pytest.fixture
def exports(tmp_path, monkeypatch):
    """A cache of its own, and the files that were exported into it."""
    skip_without("openvino")
    written, export = [], kept.export_detector

    def counted(detector, path, **options):
        written.append(path)
        return export(detector, path, **options)

    monkeypatch.setenv("TRANSFER_KIT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(kept, "export_detector", counted)
    return written


def test_those_who_ask_at_once_get_one_export(exports, tmp_path):
    detector = tiny_detector("fcrn_a")
    with ThreadPoolExecutor(3) as threads:
        asked = [
            threads.submit(kept_runtime, detector, WEIGHTS, "openvino", threads=1) for _ in range(3)
        ]
    assert len(exports) == 1
    assert exports[0].parent == tmp_path / "home" / "cache" / "exported"
    assert exports[0].name.startswith(WEIGHTS)
    for each in asked:
        assert largest_difference(each.result(), detector) <= 1e-4


def test_what_is_damaged_or_of_other_code_is_exported_anew(exports):
    first = tiny_detector("fcrn_a")
    kept_runtime(first, WEIGHTS, "openvino", threads=1)
    exports[0].write_bytes(exports[0].read_bytes()[:500])
    kept_runtime(first, WEIGHTS, "openvino", threads=1)
    assert len(exports) == 2
    changed = tiny_detector("fcrn_b")
    assert largest_difference(kept_runtime(changed, WEIGHTS, "openvino"), changed) <= 1e-4
    assert len(exports) == 3


def test_a_runtime_that_is_not_installed_is_named(exports, monkeypatch):
    monkeypatch.setattr(kept, "load_runtime", None)  # nothing is there to be loaded
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"needs openvino; install it with pip install 'transfer-k"):
        kept_runtime(tiny_detector("fcrn_a"), WEIGHTS, "openvino")
