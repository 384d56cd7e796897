"""Finding what ruins trainings before it does."""

from __future__ import annotations

from transfer_kit.data.check.cases import check_cases, check_classes
from transfer_kit.data.check.duplicates import Fingerprints
from transfer_kit.data.check.finding import Finding, Severity
from transfer_kit.data.check.positions import check_positions
from transfer_kit.data.check.reading import find_exchanged_files, read_sample
from transfer_kit.data.check.scale import NuclearSize
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.sample import Sample

__all__ = ["Finding", "Severity", "check_dataset"]


def check_dataset(dataset: Dataset) -> list[Finding]:
    """All findings about a dataset, errors first; reads every image and annotation once."""
    findings: list[Finding] = []
    fingerprints = Fingerprints()
    sizes: dict[float, NuclearSize] = {}
    classes: dict[str, str] = {}
    misfits: list[Sample] = []
    stain = dataset.card.stain
    for sample in dataset:
        reading = read_sample(sample)
        findings += reading.findings
        if reading.image is None:
            continue
        fingerprints.add(sample, reading.image)
        if reading.misfit:
            misfits.append(sample)
        if reading.annotation is None:
            continue
        annotation = reading.annotation
        findings += check_positions(sample, reading.image, annotation.points, stain)
        size = sizes.setdefault(sample.mpp, NuclearSize(sample.mpp))
        size.add(reading.image, annotation, stain)
        classes |= dict.fromkeys(annotation.classes, str(sample.image_path))
    findings += find_exchanged_files(misfits)
    for size in sizes.values():
        findings += size.check(str(dataset.path or dataset.root))
    findings += fingerprints.check(dataset)
    findings += check_cases(dataset)
    findings += check_classes(dataset, classes)
    return sorted(findings, key=lambda finding: finding.severity)
