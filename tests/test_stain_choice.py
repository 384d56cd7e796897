"""Which stain a training's images are brought to, from the recipe to the detector."""

from __future__ import annotations

import numpy as np
import pytest
from dataset_folders import write_folder
from laboratory import BASE, TARGET, tiny_base
from PIL import Image
from stained_images import stained_image

from transfer_kit.data.stain import StainNormaliser, StainReference, find_reference
from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.plan import make_plan
from transfer_kit.recipe import Recipe
from transfer_kit.run import from_nothing
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.training.train import train

pytest_plugins = ["lab_fixtures"]

SHORT = {
    "train": {"steps": 4, "validate_every": 2, "batch_size": 2, "workers": 0},
    "patches": {"size_px": 48},
}


def plan_of(stain=None, **fields):
    said = {} if stain is None else {"stain": stain}
    return make_plan(Recipe(**{"base": BASE, "target": TARGET, **SHORT, **said, **fields}))


def base_with(path, **fields):
    """The lab's base with more in its card."""
    detector = Detector.load(tiny_base(path))
    for name, value in fields.items():
        setattr(detector.card, name, value)
    return str(detector.save(path))


def ours():
    return StainReference.of_images([stained_image()], "ours")


def test_a_recipe_that_says_nothing_takes_images_as_they_are(lab):
    plan = plan_of()
    assert plan.start.card.normalise == "none"
    assert "stain" not in plan.recipe.model_fields_set


def test_a_normalised_training_keeps_its_reference_in_the_detector(lab, tmp_path):
    plan = plan_of({"normalise": "macenko", "reference": "tnbc"})
    detector = train(plan.start, plan.train, plan.validation, plan.recipe, folder=tmp_path).detector
    again = Detector.load(detector.save(tmp_path / "d.safetensors"))
    assert again.card.normaliser == StainNormaliser("macenko", find_reference("tnbc"))
    image = plan.test[0].image()
    bare = again.copy()
    bare.card.normalise = "none"
    shown = again.card.normaliser(image)
    assert not np.array_equal(shown, image)
    np.testing.assert_array_equal(
        again.candidates(image, 0.25).scores, bare.candidates(shown, 0.25).scores
    )
    assert not np.array_equal(
        again.candidates(image, 0.25).scores, bare.candidates(image, 0.25).scores
    )


def test_a_training_as_it_is_leaves_a_reference_of_its_own_images(lab, tmp_path):
    plan = plan_of()
    card = train(
        plan.start, plan.train, plan.validation, plan.recipe, folder=tmp_path
    ).detector.card
    assert card.normalise == "none"
    images = [sample.image() for sample in plan.train]
    assert card.stain_reference == StainReference.of_images(images, plan.recipe.target)


def test_what_the_base_does_its_fine_tunings_do(lab, tmp_path):
    base = base_with(tmp_path / "b.safetensors", normalise="vahadane", stain_reference=ours())
    plan = plan_of(base=base)
    assert plan.start.card.normaliser == StainNormaliser("vahadane", ours())
    settled = plan.recipe.stain
    assert (settled.normalise, settled.reference) == ("vahadane", "base")
    other = plan_of({"normalise": "none"}, base=base)
    assert other.start.card.normaliser is None


def test_images_are_brought_to_the_base_s_own_stain(lab, tmp_path):
    base = base_with(tmp_path / "b.safetensors", stain_reference=ours())
    assert plan_of({"normalise": "macenko"}, base=base).start.card.stain_reference == ours()
    by_name = plan_of({"normalise": "macenko", "reference": base}, base="none")
    assert by_name.start.card.stain_reference == ours()


def test_an_image_file_is_a_reference_and_stays_one_in_another_folder(lab):
    Image.fromarray(stained_image()).save("ours.png")
    plan = plan_of({"normalise": "reinhard", "reference": "ours.png"})
    assert plan.start.card.stain_reference.name == "ours.png"
    assert plan.recipe.stain.reference == str((lab / "ours.png").resolve())


def test_an_untrained_detector_s_mean_is_that_of_normalised_images(lab):
    fields = {"base": "none", "network": {"name": "micronet", "options": {"width": 4}}}
    plan = plan_of({"normalise": "reinhard", "reference": "tnbc"}, **fields)
    shown = [plan.start.card.normaliser(sample.image()) for sample in plan.train]
    np.testing.assert_allclose(
        plan.start.card.mean, np.mean(shown, axis=(0, 1, 2)) / 255, atol=1e-6
    )


@pytest.mark.parametrize(
    ("stain", "fields", "sentence"),
    [
        (
            {"normalise": "macenko"},
            {},
            r"no stain reference; set stain\.reference to macenko",
        ),
        ({"normalise": "macenko"}, {"base": "none"}, r"stain\.reference is base, but .* has none;"),
        ({"normalise": "macenko", "reference": "tnbk"}, {}, r"Did you mean 'tnbc'\?"),
        ({"normalise": "macenko", "reference": "a/b.png"}, {}, r"a/b\.png does not exist"),
        ({"normalise": "reinhard", "reference": "macenko"}, {}, r"no numbers for reinhard"),
        (
            {"normalise": "macenko", "reference": "immunohistochemistry"},
            {},
            r"is of H-DAB, but .* is H&E; choose a reference of H&E\.",
        ),
        ({"augment": "randstainna", "sources": ["nowhere"]}, {}, r"nowhere"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_before_anything_is_trained(
    lab, stain, fields, sentence
):
    with pytest.raises(UserError, match=sentence):
        plan_of(stain, **fields)


def test_patients_whom_the_target_tests_tell_nothing_of_stains(lab):
    tested = find_dataset(TARGET).split("test").cases
    rest = sorted({f"c{number:02d}" for number in range(8)} - set(tested))
    splits = {"train": tested, "validation": rest[:1], "test": rest[1:]}
    write_folder(lab / "other", cases=8, per_case=1, side=64, name=TARGET, splits=splits)
    with pytest.raises(UserError, match=r"stain\.sources: other has patients whom .* tests \(c0"):
        plan_of({"augment": "randstainna", "sources": ["other"]})
    assert plan_of({"augment": "randstainna", "sources": [TARGET]}).start


def test_the_training_from_scratch_sees_the_same_stain_as_the_fine_tuning(lab, tmp_path):
    base = base_with(tmp_path / "b.safetensors", stain_reference=ours())
    plan = plan_of({"normalise": "macenko"}, base=base)
    nothing = from_nothing(plan)
    assert nothing.recipe.stain.reference == base
    assert nothing.start.card.normaliser == plan.start.card.normaliser


def test_a_card_that_lost_its_reference_is_refused(lab, tmp_path):
    path = base_with(tmp_path / "b.safetensors", normalise="macenko")
    with pytest.raises(UserError, match="holds no stain reference; export it again"):
        Detector.load(path).predict(stained_image(), 0.25)


@pytest.mark.parametrize("kind", ["jitter", "randstainna", "hestain"])
def test_every_kind_of_augmentation_trains(lab, tmp_path, kind):
    stain = {"augment": kind, "probability": 1, "sources": [TARGET]}
    plan = plan_of(stain)
    trained = train(plan.start, plan.train, plan.validation, plan.recipe, folder=tmp_path)
    assert trained.steps == 4
