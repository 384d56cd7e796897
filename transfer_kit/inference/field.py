"""A slide as its detector sees it: at the detector's mpp and, where it asks for that, stain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import Lock

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from transfer_kit.codecs.base import Maps
from transfer_kit.data.resampling import resample_window, scale_factor
from transfer_kit.data.resampling_axis import ResampledAxis
from transfer_kit.data.slides.slide import Pixels, Slide
from transfer_kit.data.slides.thumbnail import scaled_down
from transfer_kit.data.tiles import Window
from transfer_kit.detector import Detector
from transfer_kit.errors import blaming_the_slide
from transfer_kit.inference.found import FoundNuclei
from transfer_kit.networks.forward import Forward

TILE_PX = 1280
"""Side of what the network sees of a tile, without its halo: larger wastes less on halos, and takes
more memory."""

_SAMPLE_PX = 4096
"""Longest side of the picture that tells a slide's stain; smaller images tell it themselves."""


@dataclass(frozen=True, eq=False)
class Field:
    """A slide's pixels and maps at the scale of a detector.

    The coarsest level that is fine enough is read, and resampled by what remains. Each pixel is a
    function of its place in the slide alone, whatever window it is asked for in.

    Attributes:
        detector: Whose scale, stain and network are used.
        slide: Open.
        level: The one that is read.
        factor: By which its pixels are enlarged.
        stained: What brings pixels to the detector's stain; None where they are taken as they are.
        tile_px: Side of what the network sees of a tile.
        forward: What computes the network's maps; None is PyTorch, as the detector runs it.
    """

    detector: Detector
    slide: Slide
    level: int
    factor: float
    stained: Callable[[Pixels], Pixels] | None = None
    tile_px: int = TILE_PX
    forward: Forward | None = None
    _network: Lock = field(default_factory=Lock, init=False)

    @classmethod
    def of(
        cls,
        detector: Detector,
        slide: Slide,
        mpp: float,
        *,
        tile_px: int = TILE_PX,
        forward: Forward | None = None,
    ) -> Field:
        """The slide, of `mpp` µm per pixel of level 0, as `detector` sees it."""
        level = level_for(slide, mpp, detector.card.mpp)
        factor = scale_factor(mpp * slide.levels[level].downsample, detector.card.mpp)
        normaliser = detector.card.normaliser
        stained = None
        if normaliser is not None:
            with blaming_the_slide():
                sample = scaled_down(slide, _SAMPLE_PX)
            stained = normaliser.fixed_on(sample, slide.path.name)
        return cls(detector, slide, level, factor, stained, tile_px, forward)

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels at the detector's mpp."""
        return self._rows.resampled, self._columns.resampled

    @property
    def mpp(self) -> float:
        """The detector's."""
        return self.detector.card.mpp

    @cached_property
    def _rows(self) -> ResampledAxis:
        return ResampledAxis(self.slide.levels[self.level].size[0], self.factor)

    @cached_property
    def _columns(self) -> ResampledAxis:
        return ResampledAxis(self.slide.levels[self.level].size[1], self.factor)

    def pixels(self, window: Window) -> Pixels:
        """RGB `(h, w, 3)` of a window.

        Raises:
            BadSlideError: the slide is damaged there.
        """
        if self.factor == 1:
            return self._read(*window)
        top, bottom = self._rows.sources(window.y0, window.y1)
        left, right = self._columns.sources(window.x0, window.x1)
        read = self._read(left, top, right - left, bottom - top)
        return resample_window(read, (left, top), self._rows, self._columns, window)

    def _read(self, x: int, y: int, width: int, height: int) -> Pixels:
        with blaming_the_slide():
            pixels = self.slide.read(self.level, x, y, width, height)
        return pixels if self.stained is None else self.stained(pixels)

    def maps(self, window: Window) -> Maps:
        """The network's maps `(C, h, w)` of a window, as they are in the whole slide."""
        return self.maps_of(self.pixels, window)

    def maps_of(self, read: Callable[[Window], Pixels], window: Window) -> Maps:
        """The same from pixels that `read` gives."""
        with self._network:  # it is one, and each run uses all processors
            return self.detector.window_maps(
                read, window, self.size, tile_px=self.tile_px, forward=self.forward
            )

    def on_slide(self, found: FoundNuclei) -> FoundNuclei:
        """Nuclei of the field in pixels of level 0."""
        points = self._to_slide(found.points.astype(np.float64)).astype(np.float32)
        outlines = found.outlines
        if outlines is not None:
            outlines = shapely.transform(outlines, self._to_slide)
        return replace(found, points=points, outlines=outlines)

    def of_slide(self, area: BaseGeometry) -> BaseGeometry:
        """An area of level 0 in pixels of the field."""
        enlarged = self.factor / self.slide.levels[self.level].downsample
        moved: BaseGeometry = shapely.transform(
            area, lambda corners: (corners + 0.5) * enlarged - 0.5
        )
        return moved

    def _to_slide(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        enlarged = self.slide.levels[self.level].downsample / self.factor
        return (places + 0.5) * enlarged - 0.5


def level_for(slide: Slide, mpp: float, wanted: float) -> int:
    """The coarsest level with pixels no larger than `wanted` µm, else level 0."""
    scales = [mpp * level.downsample for level in slide.levels]
    enough = [k for k, scale in enumerate(scales) if scale_factor(scale, wanted) <= 1]
    return max(enough, default=0)


@dataclass(frozen=True, eq=False)
class Loaded:
    """A field, part of which lies ready: its pixels, and the maps of one window.

    Attributes:
        field: Asked for everything else.
        window: Whose pixels are here.
        ready: Them.
        mapped: The window whose maps are here.
        known: Them.
    """

    field: Field
    window: Window
    ready: Pixels
    mapped: Window | None = None
    known: Maps | None = None

    @classmethod
    def around(cls, whole: Field, window: Window) -> Loaded:
        """With the pixels that the network must see for the maps of a window."""
        seen = window.grown(halo_px(whole.detector), whole.size)
        return cls(whole, seen, whole.pixels(seen))

    def with_maps(self, window: Window) -> Loaded:
        """The same with the maps of a window at hand, and without its pixels."""
        return Loaded(self.field, Window(0, 0, 0, 0), self.ready[:0], window, self.maps(window))

    @property
    def size(self) -> tuple[int, int]:
        """The field's."""
        return self.field.size

    @property
    def mpp(self) -> float:
        """The field's."""
        return self.field.mpp

    def maps(self, window: Window) -> Maps:
        """The network's maps of a window."""
        if window == self.mapped and self.known is not None:
            return self.known
        return self.field.maps_of(self._pixels, window)

    def _pixels(self, window: Window) -> Pixels:
        own = self.window
        x0, y0 = window.x0 - own.x0, window.y0 - own.y0
        if x0 < 0 or y0 < 0 or window.x1 > own.x1 or window.y1 > own.y1:
            return self.field.pixels(window)
        return self.ready[y0 : y0 + window.height, x0 : x0 + window.width]


def halo_px(detector: Detector) -> int:
    """At least what the network sees around the pixels whose maps it gives."""
    network = detector.network
    return network.receptive_field // 2 + 2 * network.stride
