"""A slide's nuclei as AnnData, for scanpy and squidpy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from transfer_kit.errors import UserError
from transfer_kit.files import replacing
from transfer_kit.inference.found import FoundNuclei, SlideFacts
from transfer_kit.inference.outputs.columns import areas_um2, record_of

if TYPE_CHECKING:
    import pandas as pd


def write_anndata(path: Path, found: FoundNuclei, facts: SlideFacts) -> list[Path]:
    """An observation a nucleus, without variables: `.h5ad`.

    `obs` has score and class, and area_um2 where there are outlines; `obsm["spatial"]` the centres
    in µm, x and y, from the centre of the first pixel; `uns["transfer_kit"]` the slide's facts.

    Raises:
        UserError: anndata is not installed, or the file cannot be written.
    """
    try:
        from anndata import AnnData
    except ImportError as error:
        raise UserError(
            "AnnData needs the package anndata; install it with "
            "pip install 'transfer-kit[spatial]'."
        ) from error
    table = AnnData(obs=observed(found, facts))
    table.obsm["spatial"] = found.points.astype(np.float64) * facts.mpp
    table.uns["transfer_kit"] = record_of(facts)
    with replacing(path) as temporary:
        table.write_h5ad(temporary)
    return [path]


def observed(found: FoundNuclei, facts: SlideFacts) -> pd.DataFrame:
    """Score, class, and area_um2 where there are outlines; the index is the nucleus' number."""
    import pandas as pd

    columns = {
        "score": found.scores,
        "class": pd.Categorical.from_codes(found.kinds.astype(np.intp), pd.Index(found.classes)),
    }
    areas = areas_um2(found, facts.mpp)
    if areas is not None:
        columns["area_um2"] = areas
    return pd.DataFrame(columns, index=pd.RangeIndex(len(found)).astype(str))
