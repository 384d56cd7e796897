from __future__ import annotations

import subprocess
import sys

import pytest

from transfer_kit.errors import UserError
from transfer_kit.pair import Pair

WHOLE = """\
name: mine
description: two organs
base: breast
target: eye
auxiliary: [kidney, old]
classes:
  old: {tumor: tumour, other: ''}
mpp:
  old: 0.46
held_out:
  eye: ['07']
"""


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "pair.yaml"
    path.write_text(WHOLE)
    return path


def faults_of(tmp_path, text):
    path = tmp_path / "pair.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        Pair.read(path)
    return str(caught.value).replace(str(path), "FILE")


def test_a_pair_is_read_with_all_its_fields(written):
    pair = Pair.read(written)
    assert pair.sources == ("eye", "kidney", "old")
    assert pair.classes == {"old": {"tumor": "tumour", "other": ""}}
    assert (pair.mpp, pair.held_out) == ({"old": 0.46}, {"eye": ("07",)})


def test_a_written_pair_is_read_back_unchanged(written, tmp_path):
    pair = Pair.read(written)
    pair.write(tmp_path / "again.yaml")
    assert Pair.read(tmp_path / "again.yaml") == pair


def test_a_pair_needs_no_name_and_is_then_called_by_its_organs():
    assert Pair(base="breast", target="eye").title == "breast → eye"
    assert Pair(name="mine", base="breast", target="eye").title == "mine"


def test_three_faults_are_told_together_with_their_lines(tmp_path):
    said = faults_of(tmp_path, "base: breast\ntarget: eye\nauxilary: [kidney]\nmpp: {eye: -1}\n")
    assert said.startswith("FILE has 2 faults: ")
    assert "line 3: there is no field 'auxilary'. Did you mean 'auxiliary'?" in said
    assert "line 4: mpp.eye: input should be greater than 0, but got -1" in said


def test_a_pair_without_a_base_is_refused(tmp_path):
    assert faults_of(tmp_path, "target: eye\n") == "FILE: base is missing; add it."


@pytest.mark.parametrize("name", ["eye", "eye-synthetic"])
def test_the_target_as_auxiliary_source_is_a_leak(tmp_path, name):
    said = faults_of(tmp_path, f"base: breast\ntarget: eye\nauxiliary: [kidney, {name}]\n")
    assert said == (
        "FILE: line 3: auxiliary: should not name the target eye itself, whose test cases would "
        f"leak into the training, but got ['kidney', '{name}']."
    )


def test_a_source_that_is_named_twice_is_refused(tmp_path):
    said = faults_of(tmp_path, "base: breast\ntarget: eye\nauxiliary: [liver, liver]\n")
    assert "line 3: auxiliary: should name each source once" in said


@pytest.mark.parametrize(
    ("field", "value"), [("mpp", "0.5"), ("classes", "{a: b}"), ("held_out", "[c01]")]
)
def test_a_table_of_a_source_that_is_not_there_names_the_nearest(tmp_path, field, value):
    text = f"base: breast\ntarget: eye\nauxiliary: [kidney]\n{field}: {{kidny: {value}}}\n"
    assert (
        f"FILE: line 4: {field}: 'kidny' should be the target or an auxiliary source "
        "(Did you mean 'kidney'?)" in faults_of(tmp_path, text)
    )


def test_an_unquoted_number_is_no_case_in_silence(tmp_path):
    said = faults_of(tmp_path, "base: breast\ntarget: eye\nheld_out: {eye: [07]}\n")
    assert "held_out.eye.0: input should be a valid string, but got 7" in said


def test_a_pair_is_read_without_torch(written):
    code = (
        "import sys; from transfer_kit.pair import Pair; "
        f"Pair.read({str(written)!r}); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
