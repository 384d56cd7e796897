from __future__ import annotations

import pytest
from study_fields import study

from transfer_kit.errors import UserError
from transfer_kit.studies.study import Study, label_of


def test_a_range_in_an_axis_is_its_numbers():
    asked = study(vary={"freeze": ["0..3", 9]}, summary={"kind": "line", "x": "freeze"})
    assert asked.axes == {"freeze": ("0", "1", "2", "3", "9")}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"questoin": "?"}, "there is no field 'questoin'. Did you mean 'question'?"),
        ({"vary": {"seed": []}}, "seed should have at least one value"),
        ({"vary": {"seed": [1, 1]}}, "seed should have 1 once"),
        ({"summary": {"kind": "pie", "x": "seed"}}, "should be one of compare, heat_map"),
        ({"summary": {"kind": "line", "x": "sed"}}, "'sed' should be an axis (Did you mean 'seed'"),
        ({"columns": ["tuned"]}, "columns.0: input should be 'base', 'recalibrated' or 'trained'"),
        ({"leave_out": [{"stat": "tuned"}]}, "there is no axis 'stat' (Did you mean 'start'?"),
        (
            {"finding": [{"say": "x", "of": {"start": "tund"}, "against": {}}]},
            "finding: start has no value 'tund' (Did you mean 'tuned'?",
        ),
        (
            {"finding": [{"say": "x", "of": {}, "against": {}, "each": "freeze"}]},
            "each should be an axis, not 'freeze'",
        ),
        ({"data": {"part": {"of": "eye", "count": 5}}}, "count and base should be said together"),
        ({"bases": {"a b": {"recipe": "x"}}}, "'a b' should be a plain name"),
    ],
)
def test_a_fault_is_told_with_its_mend(fields, said):
    with pytest.raises(UserError) as error:
        study(**fields)
    assert said in str(error.value)


def test_a_fault_in_a_file_is_told_with_its_line(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("question: Why?\nvary: {seed: [0]}\nsumary: {kind: line, x: seed}\n")
    with pytest.raises(UserError, match=r"mine.yaml has 2 faults: .*line 3: there is no field"):
        Study.read(path)


def test_values_are_called_as_they_are_written():
    assert label_of({"a": [1, None]}) == "a:1,null"
    assert label_of(True) == "true"
    assert label_of(1e-3) == "0.001"
