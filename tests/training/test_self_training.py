from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from toy import MPP, ToySample, toy_detector, toy_recipe, toy_samples
from transfer.one_step import tiny_detector

from transfer_kit.codecs import codec_names
from transfer_kit.data.annotation import Annotation
from transfer_kit.detector import Detector
from transfer_kit.evaluation import evaluate, examine
from transfer_kit.networks import network_names
from transfer_kit.training.judge import Judge
from transfer_kit.training.module import NotFiniteLossError
from transfer_kit.training.self_training import SelfTrainingModule, self_train
from transfer_kit.training.train import train
from transfer_kit.training.unlabelled_batches import unlabelled_patches

GEOMETRY = {
    "rotation_degrees": 0.0,
    "quarter_turns": True,
    "scale": [1.0, 1.0],
    "elastic_alpha_um": 0.0,
}
COLOURLESS = {
    "blur_sigma_um": 0.0,
    "jpeg_quality": None,
    "hed_jitter": 0.0,
    "hed_offset": 0.0,
    "brightness": 0.0,
    "contrast": 0.0,
}
MARGIN = 12
LEARNING = "down2.down.convolution.weight"


class Bare(ToySample):
    """A toy image without labels."""

    def annotation(self):
        return Annotation.of_points(np.zeros((0, 2), np.float32))


class Pale(ToySample):
    """One paler than those that the base learned from, with labels to measure with."""

    def image(self):
        return np.clip(90 + 0.5 * super().image(), 0, 255).astype(np.uint8)


class PaleBare(Pale, Bare):
    """Such a one without labels."""


def bare_samples(count=3):
    return [Bare(number) for number in range(10, 10 + count)]


def recipe_of(**fields):
    named = {
        "base": "toy",
        "augment": GEOMETRY,
        "train.schedule": {"name": "constant"},
        "train.optimizer.learning_rate": 1e-3,
        "adaptation": {"name": "self_training", "teacher_decay": 0.9},
    }
    return toy_recipe(**{**named, **fields})


@cache
def toy_base() -> Detector:
    """A detector that knows toy nuclei, after a second of training."""
    recipe = toy_recipe(**{"train.steps": 60, "train.validate_every": 60})
    recipe = recipe.replaced(**{"train.optimizer.learning_rate": 1e-2})
    with tempfile.TemporaryDirectory(prefix="transfer-kit-toy-") as folder:
        return train(toy_detector(seed=3), toy_samples(6), [], recipe, folder=Path(folder)).detector


def weights(detector):
    return {name: value.clone() for name, value in detector.network.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def adapted(folder, samples=None, **fields):
    return self_train(
        toy_base().copy(), samples or bare_samples(), recipe_of(**fields), folder=folder
    )


def batch_of(detector, recipe, count=2, margin=MARGIN):
    """The first patches of a self-training as a batch, and as they were drawn."""
    patches = unlabelled_patches(detector, bare_samples(), recipe, margin=margin)
    items = [patches[number] for number in range(count)]
    batch = {name: torch.stack([item[name] for item in items]) for name in items[0]}
    return batch, [patches.sampler.patch(number) for number in range(count)]


def test_the_result_is_the_moving_average_of_the_students(tmp_path, monkeypatch):
    students, step = [], SelfTrainingModule.on_train_batch_end

    def spied(self, *arguments):
        students.append({n: v.double() for n, v in self.network.state_dict().items()})
        step(self, *arguments)

    monkeypatch.setattr(SelfTrainingModule, "on_train_batch_end", spied)
    found = weights(adapted(tmp_path).detector)
    assert len(students) == 9
    moved = 0
    for name, value in weights(toy_base()).items():
        average = value.double()
        if value.is_floating_point():
            for student in students:
                average = 0.9 * average + 0.1 * student[name]
            torch.testing.assert_close(found[name].double(), average, rtol=1e-4, atol=1e-5)
            moved += not torch.equal(found[name], value)
        else:
            assert found[name] == students[-1][name]
    assert moved > 20


def test_the_student_s_target_is_what_the_teacher_finds_in_the_crop_as_it_is():
    base, recipe = toy_base(), recipe_of()
    module = SelfTrainingModule(base.copy(), recipe, margin=MARGIN)
    batch, patches = batch_of(base, recipe)
    labelled = module.labelled_by_teacher(batch)
    assert torch.equal(labelled["image"], batch["image"])
    for place, patch in enumerate(patches):
        nuclei = base.predict(patch.plain, MPP)
        assert len(nuclei) > 3
        annotation = Annotation.of_points(nuclei.points - MARGIN)
        expected = base.codec.encode(annotation, (64, 64), MPP)
        np.testing.assert_allclose(labelled["target"][place], expected, atol=1e-5)
    weight = labelled["weight"].numpy()
    assert weight.shape == (2, 1, 64, 64)
    assert 0 <= weight.min() <= weight.max() == 1


def test_the_student_sees_the_middle_of_the_teacher_s_crop_in_other_colours():
    base = toy_base()
    inside = slice(MARGIN, -MARGIN)
    as_it_is, _ = batch_of(base, recipe_of(augment={**GEOMETRY, **COLOURLESS}))
    torch.testing.assert_close(as_it_is["image"], as_it_is["plain"][..., inside, inside])
    strong = {**GEOMETRY, **COLOURLESS, "brightness": 0.3, "colour_probability": 1.0}
    changed, _ = batch_of(base, recipe_of(augment=strong))
    assert torch.equal(changed["plain"], as_it_is["plain"])
    assert (changed["image"] - as_it_is["image"]).abs().mean() > 0.1


def test_what_lies_outside_of_the_image_does_not_teach():
    base = toy_base()
    recipe = recipe_of(**{"patches.size_px": 120})  # images are 96 px wide
    module = SelfTrainingModule(base.copy(), recipe, margin=MARGIN)
    batch, _ = batch_of(base, recipe)
    weight = module.labelled_by_teacher(batch)["weight"]
    assert not weight[..., :12, :].any()
    assert not weight[..., -12:].any()
    assert weight[..., 12:-12, 12:-12].any()


def test_it_gets_better_on_paler_images_of_which_the_base_finds_a_part(tmp_path):
    test = [Pale(number) for number in range(30, 33)]
    base = toy_base()
    fields = {"train.steps": 30, "train.validate_every": 30, "train.batch_norm": "frozen"}
    done = adapted(tmp_path, [PaleBare(number) for number in range(4)], **fields)
    before, after = (
        evaluate(examine(detector, test), radius_um=2.0, threshold=base.card.threshold).f1
        for detector in (base, done.detector)
    )
    assert before < 0.5
    assert after > before + 0.3


def test_threshold_and_where_it_comes_from_stay_the_base_s(tmp_path):
    card = adapted(tmp_path).detector.card
    assert card.threshold == toy_base().card.threshold
    assert card.threshold_chosen_on == toy_base().card.threshold_chosen_on


def test_the_curve_says_how_many_nuclei_the_teacher_saw_and_how_sure_it_was(tmp_path):
    curve = adapted(tmp_path).curve
    assert [point["step"] for point in curve] == [3, 6, 9]
    for point in curve:
        assert point["teacher/nuclei_per_mm2"] > 500  # 20 nuclei in 96² px of .5 µm are 8 700
        assert 0.5 < point["teacher/sure_share"] <= 1


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tmp_path):
    one = weights(adapted(tmp_path / "1").detector)
    two = weights(adapted(tmp_path / "2").detector)
    other = weights(adapted(tmp_path / "3", seed=1).detector)
    assert same(one, two)
    assert not same(one, other)


@pytest.mark.parametrize("batch_norm", ["train", "recalibrate"])
def test_an_interrupted_and_resumed_self_training_equals_an_uninterrupted_one(
    batch_norm, tmp_path, monkeypatch
):
    fields = {"train.batch_norm": batch_norm}
    whole = adapted(tmp_path / "whole", **fields)

    step = Judge.on_train_batch_end

    def interrupt(self, trainer, *rest):
        step(self, trainer, *rest)
        if trainer.global_step == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(Judge, "on_train_batch_end", interrupt)
    with pytest.raises(KeyboardInterrupt):
        adapted(tmp_path / "killed", **fields)
    monkeypatch.undo()
    kept = torch.load(tmp_path / "killed" / "last.ckpt", weights_only=True)
    assert kept["step"] == 3
    assert not same(kept["network"], kept["beside"]["teacher"])
    resumed = adapted(tmp_path / "killed", **fields)
    assert same(weights(whole.detector), weights(resumed.detector))
    assert resumed.curve == whole.curve


def test_frozen_blocks_stay_as_the_base_left_them_to_the_byte(tmp_path):
    done = weights(adapted(tmp_path, freeze=2).detector)
    for name, value in weights(toy_base()).items():
        if name.split(".")[0] in ("input", "down1"):
            assert value.numpy().tobytes() == done[name].numpy().tobytes(), name
    assert not torch.equal(done[LEARNING], weights(toy_base())[LEARNING])


class Ideal(torch.nn.Module):
    """A teacher that sees a nucleus in the middle of every crop."""

    def __init__(self, codec, mpp):
        super().__init__()
        self.codec, self.mpp = codec, mpp

    def forward(self, images):
        count, _, height, width = images.shape
        middle = Annotation.of_points(np.array([[width / 2, height / 2]], np.float32))
        maps = self.codec.encode(middle, (height, width), self.mpp)
        return torch.from_numpy(np.stack([maps] * count))


def learns(module, detector, recipe):
    """Whether a step gives the student a finite loss and some gradient, and the teacher none."""
    batch, _ = batch_of(detector, recipe)
    module.train()
    assert not any(part.training for part in module.teacher.modules())
    with torch.backends.mkldnn.flags(enabled=False):  # see `take_step`
        loss = module.training_step(batch, 0)
        loss.backward()
    assert all(p.grad is None for p in module.teacher.parameters())
    gradients = [p.grad for p in module.network.parameters() if p.grad is not None]
    return bool(torch.isfinite(loss)) and any(gradient.any() for gradient in gradients)


@pytest.mark.parametrize("name", network_names())
def test_every_network_can_be_a_student(name):
    detector, recipe = tiny_detector(name), recipe_of()
    module = SelfTrainingModule(detector, recipe, margin=MARGIN)
    if detector.codec.name == "proximity":  # its target is a map that it finds nuclei in
        module.teacher = Ideal(detector.codec, MPP)
    assert learns(module, detector, recipe)


@pytest.mark.parametrize("name", [name for name in codec_names() if name != "boxes"])
def test_every_codec_takes_the_teacher_s_nuclei(name):
    detector, recipe = toy_detector(seed=1, codec={"name": name, "options": {}}), recipe_of()
    image = bare_samples(1)[0].image()
    if not len(detector.candidates(image, MPP)):
        for parameter in detector.network.blocks[-1][1].parameters():
            parameter.data.neg_()  # maps that are negative everywhere hold no candidate
    detector.card.threshold = float(np.median(detector.candidates(image, MPP).scores))
    assert learns(SelfTrainingModule(detector, recipe, margin=MARGIN), detector, recipe)


def test_a_teacher_that_finds_nothing_teaches_a_proximity_map_nothing():
    """Eq. 2 of paper 002 weighs pixels by their target, so that it cannot unlearn nuclei."""
    detector, recipe = toy_base().copy(), recipe_of()
    detector.card.threshold = 1e6
    module = SelfTrainingModule(detector, recipe, margin=MARGIN)
    assert not learns(module, detector, recipe)


def test_broken_weights_of_the_teacher_are_a_loss_that_is_not_finite():
    base, recipe = toy_base().copy(), recipe_of()
    module = SelfTrainingModule(base, recipe, margin=MARGIN)
    for parameter in module.teacher.parameters():
        parameter.data.fill_(torch.nan)
    with pytest.raises(NotFiniteLossError):
        module.labelled_by_teacher(batch_of(base, recipe)[0])
