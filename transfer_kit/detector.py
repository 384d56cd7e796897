"""Detector: a network, a codec and a card, saved as one `.safetensors` file."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from transfer_kit.card import DetectorCard
from transfer_kit.codecs import Codec, build_codec
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.data.patches import normalise
from transfer_kit.data.resampling import resample_image, scale_factor
from transfer_kit.data.tiles import Window
from transfer_kit.errors import UserError
from transfer_kit.networks import Network, build_network
from transfer_kit.networks.base import needed_codec
from transfer_kit.networks.forward import Floats, Forward, run_network
from transfer_kit.networks.precision import Precision, computing_in
from transfer_kit.networks.tiled import window_maps
from transfer_kit.weights_file import fill, read_weights, write_weights

Image = NDArray[np.uint8]


@runtime_checkable
class TellsRegions(Protocol):
    """A codec that knows regions of tissue beside nuclei."""

    def regions_of(self, output: NDArray[np.float32]) -> Image:
        """The number of the likeliest region of each pixel `(H, W)`, from 1 on."""


class Detector:
    """Finds nuclei in images of any size and scale.

    Example:
        >>> import transfer_kit as tk                                    # doctest: +SKIP
        >>> nuclei = tk.load("micronet-breast").predict(image, mpp=0.25)  # doctest: +SKIP
    """

    def __init__(self, network: Network, codec: Codec, card: DetectorCard) -> None:
        _refuse_other_codec(card, codec)
        self.network = network
        self.codec = codec
        self.card = card

    @classmethod
    def fresh(cls, card: DetectorCard, *, seed: int) -> Detector:
        """An untrained detector as its card describes it, initialised from `seed`.

        Raises:
            UserError: network or codec are unknown, refuse an option or each other, or differ in
                their regions.
        """
        codec = build_codec(card.codec.name, classes=card.classes, **card.codec.options)
        _refuse_other_codec(card, codec)
        _refuse_other_regions(card, codec)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = build_network(
                card.network.name, channels=codec.channels, **card.network.options
            )
        network.eval()
        return cls(network, codec, card.model_copy(update={"threshold": codec.threshold}))

    def copy(self) -> Detector:
        """An independent copy on the same device."""
        return Detector(copy.deepcopy(self.network), self.codec, self.card.model_copy(deep=True))

    def to(self, device: str | torch.device) -> Detector:
        """This detector, its network moved to `device`; `auto` is a GPU where there is one.

        Raises:
            UserError: there is no such device.
        """
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self.network.to(device)
        except (RuntimeError, AssertionError) as error:
            first = str(error).splitlines()[0]
            raise UserError(
                f"The device {device!r} cannot be used ({first}); try --device auto."
            ) from None
        return self

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def predict(self, image: Image, mpp: float, *, threshold: float | None = None) -> Nuclei:
        """Nuclei of an image whose score reaches the threshold, best first.

        Args:
            image: uint8 RGB `(H, W, 3)`.
            mpp: The image's µm per pixel; it is resampled to the detector's own.
            threshold: In place of the one in the card.
        """
        chosen = self.card.threshold if threshold is None else threshold
        return self.candidates(image, mpp).above(chosen)

    def candidates(self, image: Image, mpp: float) -> Nuclei:
        """All local maxima with their scores: what a threshold is chosen from."""
        return next(self.candidates_by((self.codec,), image, mpp))

    def candidates_by(self, codecs: Iterable[Codec], image: Image, mpp: float) -> Iterator[Nuclei]:
        """The candidates by each of several codecs, whose maps are computed once.

        Args:
            codecs: Which differ from the detector's own in how they decode alone.
            image: uint8 RGB `(H, W, 3)`.
            mpp: The image's µm per pixel.
        """
        resampled, factor = self._resampled(image, mpp)
        maps, size = self.maps(resampled), (image.shape[0], image.shape[1])
        for codec in codecs:
            nuclei = codec.decode(maps, self.card.mpp, threshold=None)
            yield nuclei if factor == 1 else nuclei.scaled(1 / factor, size)

    def regions(self, image: Image, mpp: float) -> Image:
        """The likeliest region of each pixel `(H, W)` uint8; k is `codec.regions[k - 1]`.

        Args:
            image: uint8 RGB `(H, W, 3)`.
            mpp: The image's µm per pixel.

        Raises:
            UserError: the detector tells no regions apart.
        """
        if not isinstance(self.codec, TellsRegions):
            raise UserError(
                f"{self.card.name} tells no regions apart; train one with the codec kinet and "
                "'regions' named in it."
            )
        resampled, _ = self._resampled(image, mpp)
        numbers = self.codec.regions_of(self.maps(resampled))
        height, width = image.shape[:2]
        own: Image = cv2.resize(numbers, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        return own

    def maps(self, image: Image, *, tile_px: int = 1024) -> NDArray[np.float32]:
        """The network's maps `(C, H, W)` of an image at the detector's own mpp and stain."""
        height, width = image.shape[:2]

        def read(window: Window) -> Image:
            return image[window.y0 : window.y1, window.x0 : window.x1]

        whole = Window(0, 0, width, height)
        return self.window_maps(read, whole, (height, width), tile_px=tile_px)

    def window_maps(
        self,
        read: Callable[[Window], Image],
        window: Window,
        size: tuple[int, int],
        *,
        tile_px: int = 1024,
        forward: Forward | None = None,
    ) -> NDArray[np.float32]:
        """The network's maps `(C, h, w)` of a window of an image, as they are in the whole.

        Args:
            read: The pixels of a window, at the detector's own mpp and stain.
            window: Whose maps are wanted.
            size: Height and width of the image.
            tile_px: Side of what the network sees of a tile, without the halo around it.
            forward: What computes the network's maps, in place of `self.by_torch()`.
        """

        def normalised(seen: Window) -> Floats:
            return normalise(read(seen), self.card.mean, self.card.std)

        return window_maps(
            self.network, forward or self.by_torch(), normalised, window, size,
            tile_px=tile_px, channels=self.codec.channels,
        )  # fmt: skip

    def by_torch(self, *, precision: Precision = "32-true", at_once: int = 1) -> Forward:
        """Its network as PyTorch runs it on tiles, on the device where it is.

        Args:
            precision: In which it computes.
            at_once: Tiles that go through it together, at most.
        """

        def run(tiles: Floats) -> Floats:
            with self._at_rest(), computing_in(precision, self.device.type):
                return run_network(self.network, tiles)

        return Forward(run, at_once)

    @contextmanager
    def _at_rest(self) -> Iterator[None]:
        """The network in evaluation mode, and in the layout that is fastest on its device."""
        modes = [(module, module.training) for module in self.network.modules()]
        plain = all(tensor.is_contiguous() for tensor in self.network.parameters())
        self.network.eval()
        if self.device.type == "cpu":
            self.network.to(memory_format=torch.channels_last)
        try:
            yield
        finally:
            if plain:
                self.network.to(memory_format=torch.contiguous_format)
            # One by one: frozen blocks are in evaluation mode while the others train.
            for module, was_training in modes:
                module.training = was_training

    def _resampled(self, image: Image, mpp: float) -> tuple[Image, float]:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(
                f"image must be uint8 RGB (H, W, 3), but got {image.dtype} {image.shape}"
            )
        if not (np.isfinite(mpp) and mpp > 0):
            raise UserError(f"mpp must be a positive number of µm per pixel, but got {mpp}.")
        normaliser = self.card.normaliser
        image = image if normaliser is None else normaliser(image)
        factor = scale_factor(mpp, self.card.mpp)
        return resample_image(image, factor), factor

    def save(self, path: str | Path, *, half: bool = False) -> Path:
        """Write weights and card as one file; `half` stores 16-bit weights, half the size."""
        return write_weights(Path(path), self.card, self.network.state_dict(), half=half)

    @classmethod
    def load(cls, path: str | Path) -> Detector:
        """Read a detector that `save` wrote. No code in the file is ever run.

        Raises:
            UserError: the file is missing, is no safetensors file, has no card, or its weights
                belong to another architecture.
        """
        path = Path(path)
        card, tensors = read_weights(path)
        detector = cls.fresh(card, seed=0)
        detector.card = card
        fill(detector.network, tensors, path, card)
        return detector


def _refuse_other_codec(card: DetectorCard, codec: Codec) -> None:
    """A network that judges itself makes the maps of one codec alone."""
    needed = needed_codec(card.network.name)
    if needed not in (None, codec.name):
        raise UserError(
            f"The network {card.network.name} goes with the codec {needed} alone, since it judges "
            f"itself, but the codec is {codec.name}; let codec.name be {needed}, or choose another "
            "network."
        )


def _refuse_other_regions(card: DetectorCard, codec: Codec) -> None:
    """A branch of another number of regions would be wired to the wrong maps in silence."""
    branch = card.network.options.get("regions", 0)
    regions = getattr(codec, "regions", ())
    if branch and branch != len(regions):
        raise UserError(
            f"The network {card.network.name} has a branch for {branch} regions, but the codec "
            f"{card.codec.name} names {len(regions)}; let codec.options.regions name as many as "
            "network.options.regions says."
        )
