"""Who is the same patient, whatever datasets call the case."""

from __future__ import annotations

import re

TCGA_PATIENT = r"(TCGA-\w{2}-\w{4})"


def patient_of(dataset: str, case: str, image_name: str = "") -> str:
    """One name for one patient: TCGA's are the same in every dataset, others only in their own."""
    found = re.search(TCGA_PATIENT, case) or re.search(TCGA_PATIENT, image_name)
    if found:
        return found[1]
    return case if case.startswith("TCGA-") else f"{dataset}/{case}"
