"""Images that are labelled in part: what they can teach and judge, before anything is trained.

Labelled regions and marked nuclei say where the loss counts (`transfer_kit.data.known_pixels`,
`transfer_kit.data.unmarked`), region labels feed the regions of the codec `kinet`.
"""

from __future__ import annotations

from collections.abc import Sequence

from transfer_kit.codecs import Codec
from transfer_kit.data.annotation import Annotation
from transfer_kit.data.regions import labelled_mask
from transfer_kit.data.sample import Sample
from transfer_kit.errors import UserError
from transfer_kit.wording import counted


def refuse_idle(samples: Sequence[Sample], codec: Codec) -> None:
    """Refuse training images that could teach a detector nothing.

    Raises:
        UserError: with the file: its labelled regions leave no pixel, it has region labels alone
            and the codec learns no regions, or only some of its nuclei are marked, but none is.
    """
    for sample in samples:
        annotation = sample.annotation()
        _refuse_empty_regions(sample, annotation)
        if annotation.knows_nuclei:
            continue
        if not annotation.region_labels:
            raise UserError(
                f"{_file(sample)} marks no nucleus, and as the dataset has positives_only an "
                "unmarked place tells nothing; mark some nuclei, or leave the image out."
            )
        if not getattr(codec, "regions", ()):
            raise UserError(
                f"{_file(sample)} has region labels alone, but the codec {codec.name} learns no "
                "regions; use the codec kinet and name the regions in codec.options.regions (the "
                "network kinet has a branch of its own for them), or annotate nuclei."
            )


def refuse_without_judges(
    training: Sequence[Sample], validation: Sequence[Sample], test: Sequence[Sample]
) -> None:
    """Refuse labels by which no threshold can be chosen, or no result be judged.

    Raises:
        UserError: nowhere in the images concerned are all nuclei annotated.
    """
    for samples, purpose in (
        (validation or training, "choose a threshold by"),
        (test, "test on"),
    ):
        if not any(sample.annotation().tells_false for sample in samples):
            raise UserError(
                f"There is nothing to {purpose}: of {counted(len(samples), 'image')} none has "
                "a place where every nucleus is annotated (they have region labels alone, or "
                "positives_only); mark every nucleus in a labelled region of one of them at least."
            )


def _refuse_empty_regions(sample: Sample, annotation: Annotation) -> None:
    if annotation.labelled_regions and not labelled_mask(annotation, sample.size).any():
        height, width = sample.size
        raise UserError(
            f"The labelled regions in {_file(sample)} leave no pixel of the image ({width} x "
            f"{height}): they lie outside or are thinner than a pixel; draw them on the image, or "
            "remove them to mean the whole image."
        )


def _file(sample: Sample) -> str:
    source = getattr(sample, "source", None)
    return str(source.paths[0] if source else sample.image_path)
