from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from exporting.exported import largest_difference, noise, skip_without

from transfer_kit.errors import UserError
from transfer_kit.exporting import describe_decoding, load_runtime, packages

pytest_plugins = ["exporting.exported_files"]


@pytest.fixture(params=["onnx", "openvino"])
def file(request, files):
    return files(request.param)[0]


def test_it_gives_the_detectors_maps_card_and_decoding(file, detector):
    network = load_runtime(file, threads=1)
    assert network.card == detector.card
    assert network.decoding == describe_decoding(detector)
    assert network.size_px is None
    assert largest_difference(network, detector) <= 1e-4


def test_several_threads_may_ask_it_at_once_and_keep_what_they_got(file):
    network = load_runtime(file)
    images = [noise(1, 64 + 2 * k, 80) * (1 + k) for k in range(6)]
    expected = [network(each) for each in images]
    with ThreadPoolExecutor(3) as threads:
        for found, wanted in zip(threads.map(network, images), expected, strict=True):
            np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_damaged_file_is_told(file, tmp_path):
    broken = tmp_path / file.name
    broken.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    if file.suffix == ".xml":
        broken.with_suffix(".bin").write_bytes(file.with_suffix(".bin").read_bytes())
    with pytest.raises(UserError, match=rf"{file.name} cannot be read .*; export the det"):
        load_runtime(broken)


def test_openvino_weights_that_were_left_behind_are_missed(file, tmp_path):
    if file.suffix != ".xml":
        pytest.skip("the format has one file")
    (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(UserError, match=r"tiny\.bin are missing beside tiny\.xml; keep the two"):
        load_runtime(tmp_path / file.name)


def test_a_file_that_another_program_wrote_is_refused(tmp_path):
    skip_without("onnx")
    from onnx import TensorProto, helper, save

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in ("a", "b")]
    graph = helper.make_graph([helper.make_node("Relu", ["a"], ["b"])], "g", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    save(model, tmp_path / "other.onnx")
    with pytest.raises(UserError, match=r"other\.onnx has no transfer-kit card"):
        load_runtime(tmp_path / "other.onnx")


def test_a_file_of_another_format_or_none_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"a.pt cannot be run here: the runtimes read .onnx and"):
        load_runtime(tmp_path / "a.pt")
    with pytest.raises(UserError, match=r"a.onnx does not exist; write it with"):
        load_runtime(tmp_path / "a.onnx")


@pytest.mark.parametrize(("suffix", "extra"), [(".onnx", "onnx"), (".xml", "openvino")])
def test_a_missing_runtime_is_named_with_its_extra(suffix, extra, tmp_path, monkeypatch):
    (tmp_path / f"a{suffix}").write_text("")
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=rf"pip install 'transfer-kit\[{extra}\]'"):
        load_runtime(tmp_path / f"a{suffix}")
