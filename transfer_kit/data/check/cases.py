"""Patients that are in two splits, cases in none, and classes that the card does not name."""

from __future__ import annotations

import re
from collections import defaultdict

from transfer_kit.data.check.finding import Finding
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.patients import TCGA_PATIENT
from transfer_kit.wording import counted


def check_cases(dataset: Dataset) -> list[Finding]:
    """Findings about the cases of a dataset and how they are split."""
    file = str(dataset.path or dataset.root)
    return [
        *_crossing(dataset, file),
        *_unlisted(dataset, file),
        *_absent(dataset, file),
        *_alike_names(dataset, file),
    ]


def check_classes(dataset: Dataset, seen: dict[str, str]) -> list[Finding]:
    """Classes in the annotations (name to a file that has it) that the card does not name."""
    known = set(dataset.card.classes)
    if not known:
        return []
    return [
        Finding(
            "warning",
            "unknown-class",
            file,
            f"{file} has the class {name!r}, which is not among the card's classes "
            f"({', '.join(sorted(known))}); add it there, or correct the annotation.",
        )
        for name, file in sorted(seen.items())
        if name and name not in known
    ]


def _crossing(dataset: Dataset, file: str) -> list[Finding]:
    """TCGA names tell the patient, whatever the card takes for the case."""
    splits: dict[str, set[str]] = defaultdict(set)
    for sample in dataset:
        patient = re.search(TCGA_PATIENT, sample.image_path.name)
        if patient and dataset.split_of(sample):
            splits[patient[1]].add(dataset.split_of(sample))
    return [
        Finding(
            "error",
            "crossing-splits",
            file,
            f"Patient {patient} is in {' and '.join(sorted(names))}, so that the test would "
            f"flatter; set case_pattern: '{TCGA_PATIENT}' in {file}.",
        )
        for patient, names in sorted(splits.items())
        if len(names) > 1
    ]


def _unlisted(dataset: Dataset, file: str) -> list[Finding]:
    unlisted = [case for case in dataset.cases if case not in dataset.assignment]
    if not unlisted:
        return []
    text = (
        f"{_some(unlisted)} in no split and will not be used; list them under 'splits' in {file}."
    )
    return [Finding("warning", "unlisted-case", file, text)]


def _absent(dataset: Dataset, file: str) -> list[Finding]:
    listed = {case for cases in dataset.card.splits.lists.values() for case in cases}
    absent = sorted(listed - set(dataset.cases))
    if not absent:
        return []
    text = (
        f"{_some(absent)} listed under 'splits' in {file}, but not among the images; complete the "
        "download, or take them off the list."
    )
    return [Finding("warning", "absent-case", file, text)]


def _alike_names(dataset: Dataset, file: str) -> list[Finding]:
    """Names such as 01_1, 01_2, 02_1 hint at several images a patient."""
    if dataset.card.case_pattern is not None or dataset.card.synthetic:
        return []
    groups: dict[str, set[str]] = defaultdict(set)
    for sample in dataset:
        if re.search(TCGA_PATIENT, sample.id):
            continue  # `_crossing` knows better
        match = re.match(r"^(.*\d.*?)[-_ .](?:tile|patch|crop|roi|img)?[-_ ]?\d+$", sample.id, re.I)
        groups[match[1] if match else sample.id].add(dataset.split_of(sample) or "none")
    crossing = sorted(name for name, splits in groups.items() if len(splits) > 1)
    if not crossing or len(groups) < 2:
        return []
    text = (
        f"The names look as if several images were of one patient (such as {crossing[0]}), yet "
        f"each is its own case, and two splits share {counted(len(crossing), 'such group')}; if "
        f"so, set 'case_pattern' in {file}."
    )
    return [Finding("warning", "possible-patients", file, text)]


def _some(cases: list[str]) -> str:
    shown = ", ".join(cases[:3]) + (" …" if len(cases) > 3 else "")
    return f"Case {shown} is" if len(cases) == 1 else f"{len(cases)} cases ({shown}) are"
