"""What a pair would learn from that its target is tested on: patients, and pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from transfer_kit.card import DetectorCard
from transfer_kit.data.check import Finding
from transfer_kit.data.check.duplicates import Fingerprints
from transfer_kit.data.check.shared_images import SharedImage, find_shared_images, fingerprints_of
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.patients import patient_of
from transfer_kit.data.sample import Sample
from transfer_kit.errors import UserError
from transfer_kit.stores.pair_members import PairMembers, learned_samples


@dataclass(frozen=True)
class Learned:
    """Something that a training on a pair has learned from, or will.

    Attributes:
        who: In words, such as `the base micronet-breast`.
        mend: What to do where it shares something with the target's test; CASES stands for
            its cases.
        patients: Its cases by patient.
        samples: Its images that are on this machine.
        absent: Names of datasets whose images are not.
    """

    who: str
    mend: str
    patients: Mapping[str, list[str]]
    samples: tuple[Sample, ...]
    absent: tuple[str, ...] = field(default=())


def check_pair(members: PairMembers) -> list[Finding]:
    """All leaks of a pair, errors first; reads the images of all members once.

    Raises:
        UserError: an image is damaged.
    """
    test = tuple(members.target.split("test"))
    prints = fingerprints_of(test)
    findings: list[Finding] = []
    for learned in _learned(members):
        findings += _shared_patients(members, learned)
        findings += _shared_pictures(members, learned, prints)
        findings += [_not_compared(members, learned, name) for name in learned.absent]
    return sorted(findings, key=lambda finding: finding.severity)


def refuse_leaks(members: PairMembers) -> None:
    """Refuse a pair that learns from patients of the target's test; looks at no image.

    Raises:
        UserError: with their identifiers.
    """
    findings = [f for learned in _learned(members) for f in _shared_patients(members, learned)]
    if findings:
        raise UserError(
            f"Pair {members.pair.title}: {' '.join(finding.message for finding in findings)}"
        )


def patients_of(dataset: str, samples: Iterable[Sample]) -> dict[str, list[str]]:
    """The cases of each patient, sorted; TCGA's names are sought in the images' names, too."""
    found: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        found[patient_of(dataset, sample.case, sample.image_path.name)].add(sample.case)
    return {patient: sorted(cases) for patient, cases in sorted(found.items())}


def _learned(members: PairMembers) -> list[Learned]:
    """The base, the auxiliary sources, and what of the target is not tested on."""
    target = members.target
    rest = tuple(s for s in target if target.split_of(s) in ("train", "validation"))
    named = zip(members.pair.auxiliary, members.auxiliary, strict=True)
    return [
        *([_of_base(members.base)] if members.base else []),
        *(_of_auxiliary(name, source) for name, source in named),
        Learned(
            who=f"the training of {target.name}",
            mend="give all images of a patient one case ('case_pattern' in dataset.yaml), or add "
            f"'held_out: {{{members.pair.target}: [CASES]}}' to the pair",
            patients=patients_of(target.name, rest),
            samples=rest,
        ),
    ]


def _of_base(card: DetectorCard) -> Learned:
    samples, absent = learned_samples(card)
    patients: dict[str, list[str]] = defaultdict(list)
    for part in card.data:
        for case in part.cases:
            patients[patient_of(part.dataset, case)].append(case)
    for dataset, of_dataset in samples.items():
        for patient, cases in patients_of(dataset, of_dataset).items():
            patients.setdefault(patient, cases)
    return Learned(
        who=f"the base {card.name}",
        mend="choose another base, or leave these patients out of the test",
        patients=patients,
        samples=tuple(sample for of_dataset in samples.values() for sample in of_dataset),
        absent=absent,
    )


def _of_auxiliary(name: str, source: Dataset) -> Learned:
    return Learned(
        who=f"the auxiliary source {name}",
        mend=f"add 'held_out: {{{name}: [CASES]}}' to the pair, or leave the source out",
        patients=patients_of(source.name, source),
        samples=source.samples,
    )


def _shared_patients(members: PairMembers, learned: Learned) -> list[Finding]:
    target = members.target
    shared = _cases_by_tested_patient(target.name, tuple(target.split("test")), learned)
    if not shared:
        return []
    ids = ", ".join(patient.removeprefix(f"{target.name}/") for patient in shared)
    cases = [case for of_patient in shared.values() for case in of_patient]
    patients = "patient" if len(shared) == 1 else f"{len(shared)} patients"
    text = (
        f"{learned.who[0].upper()}{learned.who[1:]} learns from the {patients} {ids} that "
        f"{target.name} is tested on, so that the test would flatter; "
        f"{_mend(learned, cases)}."
    )
    return [Finding("error", "same-patient", str(target.path or target.root), text)]


def _cases_by_tested_patient(
    dataset: str, test: Sequence[Sample], learned: Learned
) -> dict[str, list[str]]:
    """What is learned of each patient of the test, by the patient's name or by the very file."""
    tested = patients_of(dataset, test)
    files = {
        sample.image_path.resolve(): patient_of(dataset, sample.case, sample.image_path.name)
        for sample in test
    }
    shared = {name: set(learned.patients[name]) for name in tested if name in learned.patients}
    for sample in learned.samples:
        patient = files.get(sample.image_path.resolve())
        if patient is not None:
            shared.setdefault(patient, set()).add(sample.case)
    return {patient: sorted(cases) for patient, cases in sorted(shared.items())}


def _mend(learned: Learned, cases: Iterable[str]) -> str:
    return learned.mend.replace("CASES", ", ".join(dict.fromkeys(cases)))


def _shared_pictures(members: PairMembers, learned: Learned, tested: Fingerprints) -> list[Finding]:
    found = find_shared_images(fingerprints_of(learned.samples), tested)
    return [_shared_picture(learned, shared) for shared in found]


def _shared_picture(learned: Learned, shared: SharedImage) -> Finding:
    code, words = (
        ("same-image", "the same picture")
        if shared.same
        else ("near-duplicate", f"nearly the same picture (correlation {shared.correlation:.2f})")
    )
    text = (
        f"{shared.one.image_path} of {learned.who} and {shared.other.image_path} of the test are "
        f"{words}, so that the test would flatter; {_mend(learned, [shared.one.case])}."
    )
    return Finding("error", code, str(shared.other.image_path), text)


def _not_compared(members: PairMembers, learned: Learned, dataset: str) -> Finding:
    text = (
        f"The images of {dataset}, which {learned.who} learned from, are not on this machine: only "
        "their patients' names were compared; set TRANSFER_KIT_DATA to the folder that holds them "
        "to compare the pictures, too."
    )
    return Finding("warning", "not-compared", str(members.weights), text)
