from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from exporting.exported import noise, skip_without, tiny_detector

from transfer_kit.errors import UserError
from transfer_kit.exporting import export_onnx, load_runtime

SIZE = 96


@pytest.fixture(scope="module")
def fixed(tmp_path_factory):
    """VOCA's, which cuts rows and columns off between its levels."""
    skip_without("onnx")
    detector = tiny_detector("voca")
    path = tmp_path_factory.mktemp("fixed") / "voca.onnx"
    export_onnx(detector, path, size_px=SIZE)
    return detector, path


def test_opencv_computes_the_networks_maps(fixed):
    detector, path = fixed
    images = noise(1, SIZE, SIZE)
    with torch.no_grad():
        expected = detector.network(torch.from_numpy(images)).numpy()
    program = cv2.dnn.readNetFromONNX(str(path))
    program.setInput(images)
    np.testing.assert_allclose(program.forward(), expected, atol=1e-4)


def test_nothing_in_it_is_left_to_an_image_or_padded_by_less_than_nothing(fixed):
    import onnx

    graph = onnx.load(fixed[1]).graph
    sizes = [dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim]
    assert sizes == [1, 3, SIZE, SIZE]
    kinds = {node.op_type for node in graph.node}
    assert "Slice" in kinds
    assert not kinds & {"Shape", "Pad"}


def test_the_runtime_refuses_other_sizes(fixed):
    network = load_runtime(fixed[1], threads=1)
    assert network.size_px == SIZE
    assert network(noise(1, SIZE, SIZE)).shape == (1, 1, SIZE, SIZE)
    for size in ((2, SIZE, SIZE), (1, SIZE, SIZE + 1)):
        with pytest.raises(UserError, match="takes one image of 96 x 96 px at a time, but got"):
            network(noise(*size))


@pytest.mark.parametrize("size", [0, 63, 4097])
def test_a_size_that_is_none_is_refused(size, tmp_path):
    skip_without("onnx")
    with pytest.raises(UserError, match=f"is 64 to 4096 px, but got {size}"):
        export_onnx(tiny_detector("fcrn_a"), tmp_path / "a.onnx", size_px=size)
