"""A cohort on two machines of which one dies in the middle, with slides that are damaged."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data.slides.made_slides import pyramid, write_tiff
from ray_clusters import ray_cluster
from toy import lively_detector, toy_image

from transfer_kit.cohorts import search_all
from transfer_kit.inference.predict import SlideTask, predict_slide
from transfer_kit.inference.records import read_record

pytest.importorskip("ray", reason="the extra [ray] is not installed")

DAMAGED = {"07": 0.4, "23": 0.01, "41": 0.7}
"""How much of the file is left."""

LONG = ("20", "21")
"""Begun one after the other and searched for seconds: on both machines at once."""


def write_slides(folder: Path) -> list[Path]:
    folder.mkdir()
    tissue = toy_image(0, 640, 400)[0]
    for number in range(50):
        name, at = f"{number:02d}", 8 * number
        image = np.roll(tissue, at, axis=0) if name in LONG else tissue[at:, at:][:192, :192]
        path = write_tiff(folder / f"{name}.tif", pyramid(image))
        if name in DAMAGED:
            whole = path.read_bytes()
            path.write_bytes(whole[: int(DAMAGED[name] * len(whole))])
    return sorted(folder.iterdir())


@pytest.fixture
def tasks(tmp_path):
    weights = lively_detector("proximity", threshold=0.3).save(tmp_path / "model.safetensors")
    return [
        SlideTask(
            slide,
            tmp_path / "out",
            weights,
            mpp=0.5,
            where="everywhere",
            write=("geojson",),
            block_px=128,
            device="cpu",
        )
        for slide in write_slides(tmp_path / "slides")
    ]


def kill_in_the_middle(cluster, node, output):
    """Kill a machine when both of the long slides are being searched, one on each machine."""

    def both_are_searched():
        return all(list((output / ".parts" / name).glob("*.parquet")) for name in LONG)

    def wait_and_kill():
        until = time.monotonic() + 240
        while not both_are_searched() and time.monotonic() < until:
            time.sleep(0.01)
        kept.update(path.parent.name for path in (output / ".parts").glob("*/*.parquet"))
        cluster.remove_node(node, allow_graceful=False)

    kept = set()
    killer = threading.Thread(target=wait_and_kill)
    killer.start()
    return killer, kept


def times_in(output):
    return {
        path: path.stat().st_mtime_ns
        for path in output.rglob("*")
        if path.is_file() and path.stem not in (*DAMAGED, "failures", ".seen-from-here")
    }


@pytest.mark.slow
def test_all_sound_slides_are_searched_though_a_machine_dies_and_none_twice(tasks, capsys):
    output = tasks[0].output
    with ray_cluster() as cluster:
        doomed = cluster.add_node(num_cpus=1)
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        on_it = {"workers": 2, "engine": "ray", "settings": [f"address={cluster.address}"]}
        killer, being_searched = kill_in_the_middle(cluster, doomed, output)
        found = {task.name: record for task, record in search_all(tasks, **on_it)}
        killer.join()
        assert being_searched == set(LONG)
        assert "marked dead" in capsys.readouterr().err
        assert len(found) == 50
        reasons = {name: record.reason for name, record in found.items() if record.reason}
        assert set(reasons) == set(DAMAGED)
        for name, reason in reasons.items():
            assert f"{name}.tif" in reason
            assert "damaged" in reason
            assert read_record(output, name).reason == reason
        done = [task for task in tasks if task.name not in DAMAGED]
        assert all((output / file).exists() for t in done for file in found[t.name].files)
        assert not (output / ".parts").exists()

        before = times_in(output)
        again = {task.name: record for task, record in search_all(tasks, **on_it)}
        assert again == found
        assert times_in(output) == before
    for task in (each for each in tasks if each.name in ("19", LONG[0])):
        alone = replace(task, output=output / "alone")
        assert predict_slide(alone).nuclei == found[task.name].nuclei > 0
        file = f"{task.name}.geojson"
        assert (output / file).read_bytes() == (alone.output / file).read_bytes()
