"""What an adaptation without labels will do, worked out before anything is changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch.nn.modules.batchnorm import _BatchNorm

from transfer_kit.data.card import CARD_NAME
from transfer_kit.data.check.shared_images import find_shared_images, fingerprints_of
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.images import read_image
from transfer_kit.data.sample import Sample
from transfer_kit.data.unlabelled import bare_images, without_labels
from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.labels import refuse_unreadable
from transfer_kit.plan import Plan, find_held_out, refuse_leak
from transfer_kit.recipe import Recipe
from transfer_kit.start import settled, start_detector
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.stores.models import find_weights
from transfer_kit.transfer.pseudo_labels import judges_by_the_whole_image
from transfer_kit.transfer.summary import summarise_training
from transfer_kit.wording import counted


@dataclass(frozen=True)
class AdaptationPlan(Plan):
    """A plan that learns from images alone: `train` and `validation` are empty.

    Attributes:
        unlabelled: What it learns from, without annotations.
    """

    unlabelled: tuple[Dataset, ...] = ()

    @property
    def adapted(self) -> Detector:
        """The base, which an adaptation always has."""
        if self.base is None:
            raise ValueError("an adaptation starts from a base")
        return self.base

    @property
    def images(self) -> tuple[Sample, ...]:
        """All that it learns from."""
        return tuple(sample for dataset in self.unlabelled for sample in dataset)

    @property
    def target_name(self) -> str:
        """The target as experiments and folders are called."""
        return super().target_name if self.targets else self.unlabelled[0].name


def plan_adaptation(recipe: Recipe) -> AdaptationPlan:
    """Find the recipe's base and images; nothing is written, and no annotation has a say.

    The target's test cases are what the adapted detector is measured on, where they are labelled.

    Raises:
        UserError: there is no base or no image, an image is damaged, the base lacks what the
            adaptation needs, or it learned from the target's test cases; or images are among them.
    """
    _refuse_no_adaptation(recipe)
    recipe = _lasting(recipe)
    base = Detector.load(find_weights(recipe.base))
    _refuse_other_codec(recipe, base)
    _REFUSALS[recipe.adaptation.name](recipe, base)
    targets, unlabelled = _find_images(recipe, base)
    images = [sample for dataset in unlabelled for sample in dataset]
    start = start_detector(recipe, base, unlabelled, images)
    blocks = tuple(summarise_training(start.network, recipe.freeze, recipe.train))
    measured = tuple(target for target in targets if _labelled_test(target))
    test = tuple(sample for target in measured for sample in _labelled_test(target))
    refuse_leak(base.card, measured)
    notes = _notes(recipe, base, test)
    held_out = find_held_out(base.card, notes)
    for path in dict.fromkeys(sample.image_path for sample in images):
        read_image(path)
    refuse_unreadable([*test, *(sample for part in held_out for sample in part.samples)])
    if recipe.adaptation.images is not None and test:
        _refuse_test_images(images, test)
    return AdaptationPlan(
        recipe=settled(recipe, start.card),
        base=base,
        start=start,
        targets=measured,
        train=(),
        validation=(),
        test=test,
        held_out=held_out,
        blocks=blocks,
        trainable=sum(block.learning for block in blocks),
        notes=tuple(notes),
        unlabelled=unlabelled,
    )


def _refuse_no_adaptation(recipe: Recipe) -> None:
    name = recipe.adaptation.name
    if name == "none":
        raise UserError(
            f"The recipe {recipe.name} says no adaptation.name, so it learns from labels; choose "
            "adaptation/batch-norm, adaptation/stain or adaptation/self-training, or run "
            "'transfer-kit finetune'."
        )
    if recipe.pair or recipe.auxiliary.sources or recipe.auxiliary.replay:
        raise UserError(
            f"The recipe {recipe.name} names a pair or auxiliary data, which are learned from by "
            "their labels; leave pair and auxiliary out to adapt without any."
        )
    if recipe.train.cache_features:
        raise UserError(
            "train.cache_features: an adaptation without labels changes the colours of its crops, "
            "or learns no weights; set train.cache_features to false."
        )
    if recipe.base == "auto":
        raise UserError(
            "--base auto chooses by labels, of which an adaptation reads none; name a base (see "
            "'transfer-kit models list')."
        )
    if recipe.base == "none":
        raise UserError(
            "Adapting without labels needs a base, since images alone teach no detector from "
            "nothing; name one with --base (see 'transfer-kit models list')."
        )


def _find_images(recipe: Recipe, base: Detector) -> tuple[tuple[Dataset, ...], tuple[Dataset, ...]]:
    """The datasets of the target, none of a folder of images alone; and what is learned from."""
    settings = recipe.adaptation
    if settings.images is None:
        targets = tuple(_find_target(name.strip()) for name in recipe.target.split(" + "))
        return targets, tuple(without_labels(target.split("train")) for target in targets)
    folder = Path(settings.images).expanduser()
    images = bare_images(folder, stain=base.card.stain, mpp=settings.images_mpp)
    if Path(recipe.target).expanduser().resolve() == folder.resolve():
        return (), (images,)
    return tuple(_find_target(name.strip()) for name in recipe.target.split(" + ")), (images,)


def _find_target(name: str) -> Dataset:
    try:
        return find_dataset(name)
    except UserError:
        folder = Path(name).expanduser()
        if not folder.is_dir() or (folder / CARD_NAME).exists():
            raise
        raise UserError(
            f"{folder} has no {CARD_NAME}; name it with --images to adapt to its images alone, or "
            f"make it a dataset with 'transfer-kit data add {folder}'."
        ) from None


def _labelled_test(target: Dataset) -> tuple[Sample, ...]:
    return tuple(s for s in target if target.split_of(s) == "test" and s.source is not None)


def _lasting(recipe: Recipe) -> Recipe:
    """The folder of images by its whole path, so that a resumed run finds it from anywhere."""
    images = recipe.adaptation.images
    if images is None:
        return recipe
    return recipe.replaced(**{"adaptation.images": str(Path(images).expanduser().resolve())})


def _notes(recipe: Recipe, base: Detector, test: Sequence[Sample]) -> list[str]:
    notes = [
        f"the threshold stays the base's, {base.card.threshold:.3f}: without labels nothing may "
        "choose another"
    ]
    if not test:
        notes.append(
            f"nothing can be measured: {recipe.target} has no labelled test case; look at what "
            "'transfer-kit predict' finds before and after"
        )
    if recipe.train.batch_norm == "recalibrate" and not _batch_norms(base):
        notes.append(f"the base {base.card.name} has no batch norm that could be recalibrated")
    return notes


def _batch_norms(detector: Detector) -> int:
    """How many layers have statistics of their own."""
    modules = detector.network.modules()
    return sum(isinstance(m, _BatchNorm) and m.running_mean is not None for m in modules)


def _refuse_no_batch_norm(recipe: Recipe, base: Detector) -> None:
    if not _batch_norms(base):
        raise UserError(
            f"The base {base.card.name} has no batch norm ({base.card.network.name}), so there are "
            "no statistics to recompute; choose adaptation/stain or adaptation/self-training."
        )


def _refuse_no_stain(recipe: Recipe, base: Detector) -> None:
    stain, card = recipe.stain, base.card
    if stain.normalise == "none":
        raise UserError(
            "adaptation.name is stain, but stain.normalise is none; set it to macenko, vahadane or "
            "reinhard."
        )
    if card.normalise == stain.normalise and stain.reference == "base":
        raise UserError(
            f"The base {card.name} brings all images to its stain by {card.normalise} already; "
            "choose adaptation/batch-norm or adaptation/self-training."
        )


def _refuse_scores_of_whole_images(recipe: Recipe, base: Detector) -> None:
    if judges_by_the_whole_image(base.codec):
        raise UserError(
            f"The base {base.card.name} scores nuclei by the best one of the image (relative_to: "
            "maximum), which crops cannot tell; choose adaptation/batch-norm or adaptation/stain."
        )


def _refuse_other_codec(recipe: Recipe, base: Detector) -> None:
    if "codec" in recipe.model_fields_set and recipe.codec != base.card.codec:
        raise UserError(
            f"codec: the recipe asks for {recipe.codec.name} other than the base's, which only "
            "labels could teach; leave codec out of the recipe."
        )


_REFUSALS = {
    "batch_norm": _refuse_no_batch_norm,
    "stain": _refuse_no_stain,
    "self_training": _refuse_scores_of_whole_images,
}


def _refuse_test_images(images: Sequence[Sample], test: Sequence[Sample]) -> None:
    """Refuse to be measured on images that were adapted to."""
    shared = find_shared_images(fingerprints_of(images), fingerprints_of(test))
    if shared:
        raise UserError(
            f"{counted(len(shared), 'image')} to adapt to, first {shared[0].one.image_path}, would "
            f"test the result, too ({shared[0].other.id}), which flatters; take them out of the "
            "folder."
        )
