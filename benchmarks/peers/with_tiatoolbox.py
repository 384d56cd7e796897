"""TIAToolbox's nucleus detectors, each through `NucleusDetector` with the settings of its zoo."""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import tifffile
import yaml
import zarr
from numpy.typing import NDArray
from scipy import ndimage
from tallied import Tally
from tiatoolbox import models as zoo
from tiatoolbox.models.engine.io_config import IOSegmentorConfig
from tiatoolbox.models.engine.nucleus_detector import NucleusDetector
from timed import MPP, main

SETTINGS = Path(zoo.__file__).parents[1] / "data" / "pretrained_model.yaml"
PEAK = {"mapde": 255.0, "sccnn": 1.0, "kongnet": 1.0}
RADIUS_UM = 2.0


class DecodesIdeal(NucleusDetector):
    """Exchanges the merged map of the whole image for `ideal_map` before it looks for peaks."""

    ideal_map: NDArray[np.float32] | None = None

    def post_process_wsi(self, raw_predictions: Any, save_path: Path, **settings: Any) -> Any:
        """The network's map is computed all the same."""
        network = raw_predictions["probabilities"]
        if self.ideal_map is not None:
            ideal = da.from_array(_fitted(self.ideal_map, network.shape), chunks=network.chunks)
            own = da.map_blocks(lambda first, second: second, network, ideal, dtype=np.float32)
            raw_predictions = {**raw_predictions, "probabilities": own}
        return super().post_process_wsi(raw_predictions, save_path, **settings)


class Tia:
    """`run` on a TIFF with its scale, tissue mask off, detections in memory."""

    def __init__(self, model: str) -> None:
        fields = yaml.safe_load(SETTINGS.read_text())[model]
        module, kind = fields["architecture"]["class"].split(".")
        self.name = f"TIAToolbox {model}"
        self.peak = PEAK[module]
        config = fields["ioconfig"]["kwargs"]
        self.network_mpp = config["input_resolutions"][0]["resolution"]
        self.note = "reads an uncompressed TIFF, which is written within the time"
        if os.environ.get("PEERS_PUBLISHED"):
            self.weights = "published"
            self.engine = DecodesIdeal(model, verbose=False)
        else:
            self.weights = "random"
            made = __import__(f"tiatoolbox.models.architecture.{module}", fromlist=[kind])
            network = getattr(made, kind)(**fields["architecture"]["kwargs"])
            self.engine = DecodesIdeal(network, verbose=False)
        self.config = IOSegmentorConfig(**config)
        self.tally = Tally(self.engine.model)
        self.parameters = self.tally.parameters

    def ideal(self, labels: NDArray[np.int32]) -> Any:
        """A cone on each nucleus, highest at its centre, in each of the classes' maps."""
        if self.weights == "published":
            return None
        factor = self.network_mpp / MPP
        size = tuple(round(side / factor) for side in labels.shape)
        centres = ndimage.center_of_mass(labels > 0, labels, np.unique(labels)[1:])
        places = np.round(np.array(centres) / factor).astype(int)
        away = np.ones(size, bool)
        away[tuple(np.clip(places, 0, np.array(size) - 1).T)] = False
        distance_um = ndimage.distance_transform_edt(away) * self.network_mpp
        return (np.clip(1 - distance_um / RADIUS_UM, 0, 1) * self.peak).astype(np.float32)

    def run(self, image: NDArray[np.uint8], ideal: Any) -> int:
        """Reading, tiling, network, merging and peaks, all its own; it wants a file."""
        self.tally.begin()
        self.engine.ideal_map = ideal
        folder = Path(tempfile.mkdtemp())
        try:
            tifffile.imwrite(
                folder / "image.tif", image, tile=(512, 512), photometric="rgb",
                resolution=(1e4 / MPP, 1e4 / MPP), resolutionunit="CENTIMETER",
            )  # fmt: skip
            found = self.engine.run(
                [folder / "image.tif"], patch_mode=False, ioconfig=self.config, device="cpu",
                auto_get_mask=False, save_dir=folder / "out", output_type="zarr", overwrite=True,
            )  # fmt: skip
            return _count(found)
        finally:
            shutil.rmtree(folder)

    def network_seconds(self) -> float:
        """Of all tiles."""
        return self.tally.seconds

    def macs(self) -> float:
        """Of all patches, which overlap."""
        return self.tally.macs()


def _fitted(ideal: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The map in the first channel of `shape`; the other classes have no nucleus."""
    whole = np.zeros(shape, np.float32)
    height, width = (min(a, b) for a, b in zip(ideal.shape, shape[:2], strict=True))
    whole[:height, :width, 0] = ideal[:height, :width]
    return whole


def _count(found: Any) -> int:
    (path,) = found.values() if isinstance(found, dict) else [found]
    return int(zarr.open(str(path), mode="r")["x"].shape[0])


MODELS = ("mapde-conic", "KongNet_CoNIC_1", "sccnn-conic")

if __name__ == "__main__":
    main([partial(Tia, model) for model in MODELS], ("tiatoolbox", "torch"))
