"""AnnData: read back by anndata."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from inference.outputs.found_nuclei import (
    CLASSES,
    EMPTY,
    NOTHING,
    facts,
    found_outlines,
    found_points,
)

from transfer_kit.errors import UserError
from transfer_kit.inference.outputs.anndata import write_anndata


@pytest.fixture(scope="module")
def anndata():
    return pytest.importorskip("anndata", reason="the extra [spatial] is not installed")


def test_scores_classes_places_and_facts_come_back(tmp_path, anndata):
    found = found_points(50)
    write_anndata(tmp_path / "a.h5ad", found, facts(mpp=0.5))
    table = anndata.read_h5ad(tmp_path / "a.h5ad")
    assert table.shape == (50, 0)
    assert np.array_equal(table.obs["score"], found.scores)
    assert list(table.obs["class"]) == [CLASSES[kind] for kind in found.kinds]
    np.testing.assert_allclose(table.obsm["spatial"], found.points * 0.5)
    assert table.uns["transfer_kit"]["slide"] == "slide.svs"
    assert table.uns["transfer_kit"]["mpp"] == 0.5
    assert list(table.obs_names[:2]) == ["0", "1"]


def test_areas_are_known_where_there_are_outlines(tmp_path, anndata):
    found, instances = found_outlines()
    write_anndata(tmp_path / "a.h5ad", found, facts(mpp=0.5))
    areas = anndata.read_h5ad(tmp_path / "a.h5ad").obs["area_um2"].to_numpy()
    assert np.flatnonzero(np.isnan(areas)).tolist() == [3, 7]
    assert areas[0] == (instances == 1).sum() * 0.25


def test_no_nuclei_are_no_observations(tmp_path, anndata):
    write_anndata(tmp_path / "a.h5ad", EMPTY, NOTHING)
    table = anndata.read_h5ad(tmp_path / "a.h5ad")
    assert table.shape == (0, 0)
    assert table.obsm["spatial"].shape == (0, 2)


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "anndata", None)
    with pytest.raises(UserError, match=r"transfer-kit\[spatial\]"):
        write_anndata(tmp_path / "a.h5ad", EMPTY, facts())
