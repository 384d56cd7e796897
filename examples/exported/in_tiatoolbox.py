"""An exported detector in TIAToolbox's NucleusDetector, for slides and for patches.

    pip install tiatoolbox
    transfer-kit models export breast -o breast.pt
    python in_tiatoolbox.py breast.pt slide.svs --into found/

Needs TIAToolbox 2.1 and PyTorch, and nothing of transfer-kit: the file's card says how images are
standardised and how nuclei are found in the maps. Decoding is written for the codecs proximity and
kinet (peaks of a map); nuclei are found to the pixel, since TIAToolbox keeps whole pixels.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from tiatoolbox.models.engine.io_config import IOSegmentorConfig
from tiatoolbox.models.models_abc import ModelABC

PATCH_PX = 512
"""Of what is kept of each patch of a slide; it sees more."""


class ExportedDetector(ModelABC):
    """A TorchScript file that `transfer-kit models export` wrote, as a model of TIAToolbox.

    Args:
        path: The file.
        whole_patches: Patches are images of their own, and all of each is kept. Otherwise each is
            a part of a slide, and the context that it was read with is cut off again.
    """

    def __init__(self, path: str | Path, *, whole_patches: bool = False) -> None:
        super().__init__()
        files = {"card.json": ""}
        self.network = torch.jit.load(str(path), map_location="cpu", _extra_files=files)
        self.card: dict[str, Any] = json.loads(files["card.json"])
        decoding = self.card["decoding"]
        if decoding["codec"] not in ("proximity", "kinet"):
            raise SystemExit(
                f"{path} is decoded by {decoding['codec']}, which is not written here."
            )
        if self.card["normalise"] != "none":
            print(f"Images must be brought to the card's stain by {self.card['normalise']} first.")
        self.names = [each["name"] for each in decoding["maps"] if each["activation"] == "none"]
        self.class_dict = self.output_class_dict = dict(enumerate(self.names))
        self.numbers = decoding["numbers"]
        self.margin_px = 0 if whole_patches else _multiple(decoding["context_px"], 32)
        # What the engine asks a model for. Peaks within min_distance of the edge of a tile of maps
        # are seen by both tiles, so the square within which the highest wins fits.
        self.min_distance = self.numbers["window_px"]
        self.threshold_abs = self.numbers["threshold"]
        self.tile_shape = (2048, 2048)

    def ioconfig(self) -> IOSegmentorConfig:
        """At which µm per pixel slides are read, and in which patches."""
        at = [{"units": "mpp", "resolution": self.card["mpp"]}]
        seen = PATCH_PX + 2 * self.margin_px
        return IOSegmentorConfig(
            input_resolutions=at,
            output_resolutions=list(at),
            patch_input_shape=(seen, seen),
            patch_output_shape=(PATCH_PX, PATCH_PX),
            stride_shape=(PATCH_PX, PATCH_PX),
            save_resolution=dict(at[0]),
        )

    def preproc(self, image: np.ndarray) -> np.ndarray:
        """Standardised, `(H, W, 3)`, as the card says."""
        mean, std = np.array(self.card["mean"]), np.array(self.card["std"])
        return ((np.asarray(image)[..., :3] / 255 - mean) / std).astype(np.float32)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Maps `(B, C, H, W)` of standardised images `(B, 3, H, W)`."""
        return self.network(images)

    @staticmethod
    def infer_batch(model: torch.nn.Module, batch_data: torch.Tensor, *, device: str) -> np.ndarray:
        """Maps of the classes `(B, H, W, C)`, without the context around them."""
        own = getattr(model, "module", model)
        images = torch.as_tensor(batch_data).to(device, torch.float32).permute(0, 3, 1, 2)
        with torch.inference_mode():
            maps = model(images.contiguous())[:, : len(own.names)]
        margin = own.margin_px
        if margin:
            maps = maps[:, :, margin:-margin, margin:-margin]
        return maps.permute(0, 2, 3, 1).contiguous().cpu().numpy()

    def postproc(
        self,
        block: np.ndarray,
        min_distance: int | None = None,
        threshold_abs: float | None = None,
        threshold_rel: float | None = None,
        block_info: dict | None = None,
        depth_h: int = 0,
        depth_w: int = 0,
    ) -> np.ndarray:
        """Scores at the nuclei's pixels, 0 elsewhere, `(H, W, C)` as `block`.

        Args:
            block: Maps `(H, W, C)`.
            min_distance: In place of the card's window_px.
            threshold_abs: In place of the card's threshold.
            threshold_rel: Not used: a score is relative to what the card calls its reference.
            block_info: Not used.
            depth_h: Rows at either end that belong to other tiles.
            depth_w: Columns at either end that belong to other tiles.
        """
        window = self.min_distance if min_distance is None else min_distance
        lowest = self.threshold_abs if threshold_abs is None else threshold_abs
        h = block.max(axis=2)
        reference = self.numbers["reference"]
        scores = h / (h.max() if reference == "maximum" else reference)
        highest = ndimage.maximum_filter(h, size=2 * window + 1, mode="constant", cval=-np.inf)
        rows, columns = np.nonzero((h > 0) & (h == highest) & (scores >= lowest))
        found = np.zeros_like(block)
        taken = np.zeros(h.shape, bool)
        for at in np.argsort(-h[rows, columns], kind="stable"):
            row, column = rows[at], columns[at]
            if taken[row, column]:  # as high as another within its window
                continue
            near = np.s_[max(0, row - window) : row + window + 1, max(0, column - window) :]
            taken[near][:, : column - max(0, column - window) + window + 1] = True
            inside = depth_h <= row < len(h) - depth_h and depth_w <= column < h.shape[1] - depth_w
            if inside:
                found[row, column, block[row, column].argmax()] = scores[row, column]
        return found


def _multiple(number: int, of: int) -> int:
    return -(-number // of) * of


def main() -> None:
    """Find the nuclei of slides, and keep them as TIAToolbox's annotation stores."""
    from tiatoolbox.models.engine.nucleus_detector import NucleusDetector

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", type=Path)
    parser.add_argument("slides", type=Path, nargs="+")
    parser.add_argument("--into", type=Path, default=Path("found"))
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    model = ExportedDetector(options.network)
    made = NucleusDetector(model=model, batch_size=4, device=options.device).run(
        images=options.slides,
        patch_mode=False,
        ioconfig=model.ioconfig(),
        save_dir=options.into,
        output_type="annotationstore",
        class_dict=model.class_dict,
        overwrite=True,
    )
    print(made)


if __name__ == "__main__":
    main()
