"""Records of the comparison with the papers hold what its tables need, and tables lose nothing."""

from __future__ import annotations

import csv
import dataclasses
import importlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.evaluation import Evaluated, evaluate

REPOSITORY = Path(__file__).parents[2]
PAPERS = REPOSITORY / "benchmarks" / "papers"
COMMITTED = REPOSITORY / "docs" / "results"
NAMES = (
    *("collecting", "csv_lines", "parts", "predictions", "records"),
    *("studies", "summary", "table", "training"),
)


@pytest.fixture(scope="module")
def papers():
    """The modules of the comparison; their plain names are taken by others elsewhere."""
    before = {name: sys.modules.pop(name) for name in NAMES if name in sys.modules}
    sys.path.insert(0, str(PAPERS))
    try:
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in NAMES})
    finally:
        sys.path.remove(str(PAPERS))
        for name in NAMES:
            sys.modules.pop(name, None)
        sys.modules.update(before)


@dataclass(frozen=True)
class DrawnSample:
    """An image of which only the nuclei matter."""

    id: str
    truth: Annotation
    case: str = "case"
    mpp: float = 0.5
    size: tuple[int, int] = (600, 600)

    def annotation(self) -> Annotation:
        return self.truth


def drawn(number: int, n: int = 60, classes: tuple[str, ...] = ("",)) -> Evaluated:
    """Half of the nuclei found within a few pixels, and as many detections elsewhere."""
    rng = np.random.default_rng(number)
    points = rng.uniform(0, 599, (n, 2)).astype(np.float32)
    truth = Annotation(points, tuple(rng.choice(classes, n)))
    near = points[: n // 2] + rng.normal(0, 3, (n // 2, 2))
    found = np.concatenate([near, rng.uniform(0, 599, (n // 2, 2))]).astype(np.float32)
    scores = rng.uniform(0, 1, len(found)).astype(np.float32)
    detected = Nuclei(found, scores, tuple(rng.choice(classes, len(found))))
    sample = DrawnSample(f"image{number}", truth, case=f"case{number}")
    return Evaluated(sample.id, sample.case, sample.mpp, sample.size, truth, detected)


def sample_of(pair: Evaluated) -> DrawnSample:
    return DrawnSample(pair.id, pair.truth, pair.case, pair.mpp, pair.size)


def result_of(pairs, row="one", part="fold0", threshold=0.4, **fields):
    scores = evaluate(pairs, radius_um=3.0, threshold=threshold).as_dict()
    return {
        "study": "drawn", "row": row, "part": part, "group": "", "threshold": threshold,
        "cpu_seconds": 60.0, "seconds": 60.0, "parameters": 10, "steps": 1,
        "detection": scores, "segmentation": None, **fields,
    }  # fmt: skip


def test_predictions_come_back_from_their_file(papers, tmp_path):
    pairs = [drawn(0, classes=("a", "b")), drawn(1, n=0), drawn(2, classes=("a", "b"))]
    papers.predictions.Predictions.of(pairs, ("a", "b")).write(tmp_path / "found.npz")
    back = papers.predictions.Predictions.read(tmp_path / "found.npz")
    for pair, other in zip(pairs, back.beside(sample_of(pair) for pair in pairs), strict=True):
        assert (other.id, other.found.classes) == (pair.id, pair.found.classes)
        np.testing.assert_array_equal(other.found.points, pair.found.points)
        np.testing.assert_allclose(other.found.scores, pair.found.scores, rtol=1e-3)
        assert other.truth is pair.truth


def test_an_image_in_which_nothing_was_found_keeps_the_classes_of_its_nuclei(papers):
    pair = drawn(1, classes=("a", "b"))
    nothing = Evaluated(pair.id, pair.case, pair.mpp, pair.size, pair.truth, pair.found.above(2))
    of = papers.predictions.Predictions.of
    assert of([nothing], ("a", "b")).beside([sample_of(pair)])[0].truth is pair.truth
    without = of([nothing], ("",)).beside([sample_of(pair)])[0].truth
    assert set(without.classes) == {""}


def test_folds_pooled_from_records_equal_folds_pooled_from_all_candidates(papers, tmp_path):
    folds = [[drawn(3 * k + i, classes=("a", "b")) for i in range(3)] for k in range(3)]
    thresholds = [0.2, 0.5, 0.35]
    records = papers.records.Records(tmp_path)
    parts, results, cut = [], [], []
    for number, (pairs, threshold) in enumerate(zip(folds, thresholds, strict=True)):
        result = result_of(pairs, part=f"fold{number}", threshold=threshold)
        records.write(result, papers.predictions.Predictions.of(pairs, ("a", "b")))
        test = tuple(sample_of(pair) for pair in pairs)
        parts.append(papers.parts.Part(f"fold{number}", (), (), (), test))
        results.append(records.result("drawn", "one", f"fold{number}"))
        cut += [
            Evaluated(p.id, p.case, p.mpp, p.size, p.truth, p.found.above(threshold)) for p in pairs
        ]
    pooled = papers.summary._pooled(parts, results, records)
    expected = evaluate(cut, radius_um=3.0, threshold=0.0).as_dict()
    assert expected["n_nuclei"] == 540
    assert pooled == expected


@pytest.fixture
def study(papers, monkeypatch):
    """Two rows on three seeds of the same test image."""
    test = (sample_of(drawn(0)),)
    parts = [papers.parts.Part(f"seed{s}", (), (), (), test, seed=s) for s in range(3)]
    monkeypatch.setitem(papers.parts.DEALERS, "drawn", lambda: parts)
    rows = {
        name: papers.studies.Row(name, name.title(), "everyday/colon") for name in ("one", "two")
    }
    return papers.studies.Study("drawn", "Drawn", "detection", "drawn", rows)


def earlier_line(papers, study, row, done):
    figures = {"f1": 0.123, "n_images": 1, "n_cases": 1, "n_nuclei": 60}
    return papers.summary.Line(study.rows[row], "", figures, done, 3, "seeds", 1.0, 10)


def test_an_earlier_line_gives_way_to_records_of_as_many_parts(papers, study, tmp_path):
    records = papers.records.Records(tmp_path)
    earlier = [earlier_line(papers, study, row, 2) for row in ("one", "two")]
    found = papers.predictions.Predictions.of([drawn(0)], ("",))
    records.write(result_of([drawn(0)], part="seed0"), found)
    lines = papers.summary.lines_of(study, records, earlier)
    assert [(line.row.name, line.done, line.carried) for line in lines] == [
        ("one", 2, True),
        ("two", 2, True),
    ]
    records.write(result_of([drawn(0)], part="seed2"), found)
    one, two = papers.summary.lines_of(study, records, earlier)
    assert (one.done, one.carried, two.carried) == (2, False, True)
    assert one.figures["f1"] == pytest.approx(result_of([drawn(0)])["detection"]["f1"])


def test_tables_made_again_keep_the_lines_without_records(papers, tmp_path, capsys):
    stands = (COMMITTED / "papers.csv").read_text(encoding="utf-8")
    (tmp_path / "papers.csv").write_text(stands, encoding="utf-8")
    mine = [line for line in csv.DictReader(stands.splitlines()) if line.get("source") != "records"]
    if not mine:
        pytest.skip("there is a record of every line of the table")
    for _ in range(2):
        papers.table.write_tables(papers.records.Records(tmp_path / "none"), tmp_path / "papers")
    with (tmp_path / "papers.csv").open(encoding="utf-8") as file:
        again = list(csv.DictReader(file))
    assert [{**line, "source": "earlier"} for line in mine] == again
    table = (tmp_path / "papers.md").read_text(encoding="utf-8")
    assert table.count(f" {papers.table.MARK} |") == len(mine)
    assert papers.table.FOOTNOTE in table


@pytest.mark.parametrize(
    ("elsewhere", "heading", "crosses"), [("", "paper", 1), ("MITOS", "paper, on MITOS", 0)]
)
def test_figures_of_other_data_are_told_but_not_drawn_beside_ours(
    papers, study, tmp_path, monkeypatch, elsewhere, heading, crosses
):
    rows = {"one": dataclasses.replace(study.rows["one"], paper={"f1": 0.5})}
    study = dataclasses.replace(study, rows=rows, elsewhere=elsewhere)
    monkeypatch.setattr(papers.table, "studies", lambda: {"drawn": study})
    monkeypatch.setattr(papers.table, "read_lines", lambda path: {"drawn": []})
    records = papers.records.Records(tmp_path / "records")
    found = papers.predictions.Predictions.of([drawn(0)], ("",))
    records.write(result_of([drawn(0)], part="seed0"), found)
    figures = []
    monkeypatch.setattr(papers.table.plt, "close", figures.append)
    papers.table.write_tables(records, tmp_path / "papers")
    table = (tmp_path / "papers.md").read_text(encoding="utf-8")
    assert "(papers.png)" in table
    assert f"| {heading} |" in table
    assert table.rstrip().splitlines()[-1].endswith("| F1 0.5 |")
    drawn_lines = figures[0].axes[0].get_lines()
    at_paper = [line for line in drawn_lines if list(line.get_xdata()) == [0.5]]
    assert [line.get_marker() for line in at_paper] == ["x"] * crosses


def write_beside_weights(own: Path, pair: Evaluated, result: dict) -> None:
    """As trainings left what they gave before there were records: all candidates, in one file."""
    names = sorted(set(pair.found.classes))
    own.mkdir(parents=True)
    (own / "result.json").write_text(json.dumps(result))
    np.savez_compressed(
        own / "predictions.npz",
        images=[pair.id],
        names=names,
        image=np.zeros(len(pair.found), int),
        points=pair.found.points,
        scores=pair.found.scores,
        classes=np.array([names.index(name) for name in pair.found.classes], np.uint8),
    )


def test_results_beside_weights_become_records(papers, tmp_path, monkeypatch, capsys):
    classes = ("negative", "other", "positive")
    pair = drawn(0, classes=("negative", "positive"))
    result = result_of([pair], study="ki67", row="okinet", part="seed0", seed=0, recipe={})
    own = tmp_path / "work" / "ki67" / "okinet" / "seed0"
    write_beside_weights(own, pair, result)
    write_beside_weights(own.parent / "lost", pair, {**result, "row": "of another time"})
    loaded = SimpleNamespace(card=SimpleNamespace(classes=classes))
    monkeypatch.setattr(papers.collecting.Detector, "load", lambda path: loaded)
    records = papers.records.Records(tmp_path / "records")
    assert papers.collecting.collect(tmp_path / "work", records) == ["ki67/okinet/seed0"]
    assert "of another time is in no study" in capsys.readouterr().out
    assert papers.collecting.collect(tmp_path / "work", records) == []
    kept = records.result("ki67", "okinet", "seed0")
    assert kept["detection"] == json.loads(json.dumps(result["detection"]))
    assert (kept["steps"], kept["precision"]) == (600, "32-true")
    (back,) = records.predictions("ki67", "okinet", "seed0").beside([sample_of(pair)])
    wanted = pair.found.above(0.4)
    assert 0 < len(wanted) < len(pair.found)
    np.testing.assert_array_equal(back.found.points, wanted.points)
    assert back.found.classes == wanted.classes


class FakeDetector:
    """Whose weights are a word."""

    def __init__(self, word: str) -> None:
        self.word = word
        self.card = SimpleNamespace(threshold=0.4, classes=("",))
        self.network = SimpleNamespace(parameters=list)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.word)


@pytest.fixture
def trained(papers, monkeypatch):
    """Rows and parts that were trained, in their order; nothing is really trained."""
    began = []

    def train(recipe, row, part, own):
        began.append(f"{row.name} {part.name}")
        return FakeDetector(f"trained {len(began)}")

    monkeypatch.setattr(papers.training, "_trained", train)
    monkeypatch.setattr(
        papers.training,
        "_recalibrated",
        lambda weights, recipe, part: FakeDetector(f"{weights.read_text()} decoded"),
    )
    monkeypatch.setattr(papers.training, "examine", lambda detector, test: [drawn(0)])
    monkeypatch.setattr(papers.training, "evaluate_segmentation", lambda pairs, threshold: None)
    return began


def test_what_has_a_record_is_not_trained_again_without_its_weights(
    papers, study, trained, tmp_path
):
    records, part = papers.records.Records(tmp_path / "records"), study_part(papers)
    first = papers.training.run(study, study.rows["one"], part, tmp_path / "here", records)
    elsewhere = tmp_path / "elsewhere"
    for again in (False, True):
        told = papers.training.run(
            study, study.rows["one"], part, elsewhere, records, measure_again=again
        )
        assert told == json.loads(json.dumps(first))
    assert trained == ["one seed0"]
    again = papers.training.run(
        study, study.rows["one"], part, tmp_path / "here", records, measure_again=True
    )
    assert trained == ["one seed0"]
    assert again["seconds"] > first["seconds"], "the training's own time is kept"


def test_a_row_that_only_decodes_has_its_base_trained_where_its_weights_are_not(
    papers, study, trained, tmp_path
):
    records, part = papers.records.Records(tmp_path / "records"), study_part(papers)
    two = papers.studies.Row("two", "Two", "everyday/colon", decodes="one")
    rows = {"one": study.rows["one"], "two": two}
    study = papers.studies.Study("drawn", "Drawn", "detection", "drawn", rows)
    papers.training.run(study, rows["one"], part, tmp_path / "elsewhere", records)
    papers.training.run(study, two, part, tmp_path / "here", records)
    assert trained == ["one seed0", "one seed0"]
    weights = tmp_path / "here" / "drawn" / "two" / "seed0" / papers.training.WEIGHTS
    assert weights.read_text() == "trained 2 decoded"
    papers.training.run(study, two, part, tmp_path / "here", records)
    assert len(trained) == 2


def study_part(papers):
    return papers.parts.Part("seed0", (), (), (), ())


def strings_of(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for one in value.values() for text in strings_of(one))
    elif isinstance(value, list):
        yield from (text for one in value for text in strings_of(one))


def test_an_interval_over_seeds_ends_where_scores_do_and_distances_go_on(papers):
    results = [
        {"detection": {"f1": f1, "precision": 0.5, "distance_median_px": px}, "segmentation": None}
        for f1, px in ((0.99, 1.0), (0.80, 2.0), (1.0, 9.0))
    ]
    figures = papers.summary._averaged(results)
    assert figures["f1"] == pytest.approx(0.93)
    assert figures["f1_high"] == 1.0
    # 0.93 - t(0.975; 2) sd / sqrt(3), with t = 4.302653 and sd = 0.1126943
    assert figures["f1_low"] == pytest.approx(0.93 - 4.302653 * 0.1126943 / 3**0.5, abs=1e-5)
    assert (figures["precision_low"], figures["precision_high"]) == (0.5, 0.5)
    assert figures["distance_median_px_low"] < 0
    assert figures["distance_median_px_high"] > 9


def test_committed_records_are_small_and_name_no_place_on_a_machine():
    records = sorted((COMMITTED / "papers").rglob("*.json"))
    if not records:
        pytest.skip("there is no committed record yet")
    for path in records:
        found = path.with_suffix(".npz")
        with np.load(found, allow_pickle=False) as stored:
            allowed = 8_000 + 9 * len(stored["scores"])  # bytes: the figures, and each detection
        assert path.stat().st_size + found.stat().st_size < allowed, path
        texts = list(strings_of(json.loads(path.read_text(encoding="utf-8"))))
        assert not [text for text in texts if text.startswith(("/", "~")) or "\\" in text], path
