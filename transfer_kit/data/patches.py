"""Training patches: patch n is a function of the seed and n alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.augment import Augmentation, change_colours
from transfer_kit.data.image_cache import ImageCache
from transfer_kit.data.known_pixels import Settled, known_pixels
from transfer_kit.data.stain.variation import StainChange
from transfer_kit.data.warp import Warp, draw_warp
from transfer_kit.errors import UserError

Encode = Callable[[Annotation, tuple[int, int], float, np.random.Generator], NDArray[np.float32]]

_ORDER, _PATCH, _GRID, _STAIN = 0, 1, 2, 3


@dataclass(frozen=True, eq=False)
class Patch:
    """One training example.

    Attributes:
        image: `(H, W, 3)` uint8 RGB.
        plain: The same before its stain, its other colours and its sharpness were changed.
        target: `(K, H, W)` float32, what the codec made of the annotation.
        weight: `(1, H, W)` float32, 1 where the target is known, 0 outside the labelled region,
            outside the image, and where a nucleus outside could reach in that nobody annotated.
        annotation: Nuclei in the patch and its margin, in its pixels.
        sample_id: The image that it was cut from.
        number: Its place in the training.
        crop: Equal for patches that are the same crop of the same image, mirrored and turned alike,
            before their colours were changed: the image's index, x and y of its centre in half
            pixels, and how it is turned. None where it was warped otherwise.
    """

    image: NDArray[np.uint8]
    plain: NDArray[np.uint8]
    target: NDArray[np.float32]
    weight: NDArray[np.float32]
    annotation: Annotation
    sample_id: str
    number: int
    crop: tuple[int, ...] | None = None


class PatchSampler:
    """Random patches of the images in a cache, visited in passes.

    In each pass every image gives `crops_per_image` patches (four in paper 002), in an order
    shuffled anew. Patch n is a pure function of `seed` and n, whichever process draws it and
    after whichever others, so a resumed training sees what it would have seen.

    Args:
        cache: The images.
        size_px: Side of the square patches.
        augmentation: How they vary.
        seed: Of order, position and augmentation.
        encode: `codec.encode`: annotation, size `(H, W)`, mpp and generator to a target
            `(K, H, W)`.
        crops_per_image: Patches an image and pass.
        indices: Images of the cache to use, all by default; one given twice counts twice.
        nucleus_fraction: Share of patches that are placed so that a nucleus lies in them, for
            images where most places hold none; 0 draws places alone.
        grid_stride_px: Patches lie on a grid of this stride, whose places each image goes through
            in an order of its own; None draws them anywhere in the labelled region.
        margin_um: Nuclei this far outside still reach `encode`; at least the codec's radius.
        settled: `codec.settled`; without it all pixels of labelled regions count.
        vary_stain: How the stain of patches varies, before their other colours do.

    Raises:
        UserError: there is no image, or an image has an empty labelled region.
    """

    def __init__(
        self,
        cache: ImageCache,
        *,
        size_px: int,
        augmentation: Augmentation,
        seed: int,
        encode: Encode,
        crops_per_image: int = 4,
        indices: Sequence[int] | None = None,
        nucleus_fraction: float = 0.0,
        grid_stride_px: int | None = None,
        margin_um: float = 12.0,
        settled: Settled | None = None,
        vary_stain: StainChange | None = None,
    ) -> None:
        self.cache = cache
        self.size_px = size_px
        self.augmentation = augmentation
        self.seed = seed
        self.encode = encode
        self.crops_per_image = crops_per_image
        self.indices = tuple(range(len(cache)) if indices is None else indices)
        self.nucleus_fraction = nucleus_fraction
        self.grid_stride_px = grid_stride_px
        self.margin = int(np.ceil(margin_um / cache.mpp))
        self.settled = settled
        self.vary_stain = vary_stain
        if not self.indices:
            raise UserError("There is no image to train on; give the dataset a training split.")
        # Labelled pixels up to and including each row, from which a place is drawn in O(log H).
        self._labelled_rows = {i: self._count_labelled(i) for i in set(self.indices)}
        self._shuffled: tuple[int, NDArray[np.intp]] = (-1, np.zeros(0, np.intp))

    @property
    def patches_per_pass(self) -> int:
        """How many patches visit every image equally often."""
        return len(self.indices) * self.crops_per_image

    def image_of(self, number: int) -> int:
        """Index in the cache of the image from which patch `number` is cut."""
        return self._visit(number)[0]

    def _visit(self, number: int) -> tuple[int, int]:
        """The image of patch `number`, and how many patches were cut from it before."""
        number_of_pass, place = divmod(number, self.patches_per_pass)
        shuffled_pass, order = self._shuffled
        if shuffled_pass != number_of_pass:
            order = self._generator(_ORDER, number_of_pass).permutation(self.patches_per_pass)
            self._shuffled = (number_of_pass, order)
        before, which = divmod(int(order[place]), len(self.indices))
        return self.indices[which], number_of_pass * self.crops_per_image + before

    def patch(self, number: int) -> Patch:
        """Patch `number`, from 0 on without end."""
        index, visit = self._visit(number)
        rng = self._generator(_PATCH, number)
        image, annotation = self.cache.get(index)
        size = (self.size_px, self.size_px)
        warp = draw_warp(
            self.augmentation,
            centre=self._draw_centre(index, visit, annotation, rng),
            size=size,
            margin=self.margin,
            mpp=self.cache.mpp,
            rng=rng,
        )
        moved = warp.annotation(annotation)
        plain = warp.image(image)
        target = self.encode(moved, size, self.cache.mpp, rng)
        shown = self._stained(index, number, plain)
        return Patch(
            image=change_colours(shown, self.augmentation, mpp=self.cache.mpp, rng=rng),
            plain=plain,
            target=target,
            weight=self._weight(index, annotation, warp, target),
            annotation=moved,
            sample_id=self.cache.sample_ids[index],
            number=number,
            crop=_crop(index, warp),
        )

    def _stained(self, index: int, number: int, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A patch in another stain, by numbers of its own: all else is drawn as without it."""
        if self.vary_stain is None:
            return image
        return self.vary_stain(image, self._generator(_STAIN, number), self.cache.stain(index))

    def _generator(self, purpose: int, number: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(purpose, number)))

    def _count_labelled(self, index: int) -> NDArray[np.int64] | None:
        mask = self.cache.labelled(index)
        if mask is None:
            return None
        rows = np.cumsum(np.count_nonzero(mask, axis=1), dtype=np.int64)
        if not rows[-1]:
            raise UserError(
                f"The labelled regions of {self.cache.sample_ids[index]} leave no pixel: they lie "
                f"outside its image or are thinner than a pixel; draw them on the image, or remove "
                f"them to mean the whole image."
            )
        return rows

    def _draw_centre(
        self, index: int, visit: int, annotation: Annotation, rng: np.random.Generator
    ) -> tuple[float, float]:
        """Image position of the patch's centre, such that its pixels fall on the image's."""
        half = (self.size_px - 1) / 2
        height, width = self.cache.size(index)
        wanted = self._draw_wanted(index, annotation, rng)
        if wanted is None and self.grid_stride_px is not None:
            x, y = self._place_on_grid(index, visit, self.grid_stride_px)
            return x + half, y + half
        if wanted is None:
            x = _within(width, self.size_px, rng.random())
            y = _within(height, self.size_px, rng.random())
            return x + half, y + half
        x, y = (
            self._around(position, length, rng)
            for position, length in zip(wanted, (width, height), strict=True)
        )
        return x + half, y + half

    def _draw_wanted(
        self, index: int, annotation: Annotation, rng: np.random.Generator
    ) -> tuple[float, float] | None:
        """A position that the patch must show: a nucleus or a labelled pixel; None for any."""
        if rng.random() < self.nucleus_fraction and len(annotation):
            x, y = annotation.points[rng.integers(len(annotation))]
            return float(x), float(y)
        if self.grid_stride_px is not None:
            return None
        rows, mask = self._labelled_rows[index], self.cache.labelled(index)
        if rows is None or mask is None:
            return None
        chosen = int(rng.integers(rows[-1]))
        row = int(np.searchsorted(rows, chosen, side="right"))
        before = int(rows[row - 1]) if row else 0
        return float(np.flatnonzero(mask[row])[chosen - before]), float(row)

    def _place_on_grid(self, index: int, visit: int, stride: int) -> tuple[int, int]:
        """First pixel of the patch at the next place of an image's grid."""
        height, width = self.cache.size(index)
        columns = _places(width, self.size_px, stride)
        rows = _places(height, self.size_px, stride)
        order = self._generator(_GRID, index).permutation(len(rows) * len(columns))
        row, column = divmod(int(order[visit % len(order)]), len(columns))
        return columns[column], rows[row]

    def _around(self, position: float, length: int, rng: np.random.Generator) -> int:
        """First pixel of a patch that shows `position`, inside the image as far as that allows."""
        half, mpp, augmentation = (self.size_px - 1) / 2, self.cache.mpp, self.augmentation
        moves = (augmentation.shift_um + 3 * augmentation.elastic_alpha_um) / mpp
        # Below 1 / √2, so that the position stays in the patch at every angle.
        reach = max(0.0, 0.65 * half / max(1.0, augmentation.scale[1]) - moves)
        first = round(position - half + rng.uniform(-reach, reach))
        low, high = sorted((0, length - self.size_px))
        nearest, farthest = round(position - half - reach), round(position - half + reach)
        return int(np.clip(np.clip(first, low, high), nearest, farthest))

    def _weight(
        self, index: int, annotation: Annotation, warp: Warp, target: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        if not annotation.knows_nuclei:
            return np.zeros((1, *warp.size), np.float32)
        mask = self.cache.labelled(index)
        if mask is None:
            return warp.inside(self.cache.size(index))[None].astype(np.float32)
        known = known_pixels(warp, mask, target, mpp=self.cache.mpp, settled=self.settled)
        return known[None].astype(np.float32)


def _crop(index: int, warp: Warp) -> tuple[int, ...] | None:
    """What tells a crop of an image from all others; None of one whose pixels are interpolated."""
    turn = np.rint(warp.linear)
    if warp.displacement is not None or not np.array_equal(turn, warp.linear):
        return None
    x, y = warp.centre
    return (index, round(2 * x), round(2 * y), *turn.astype(int).ravel().tolist())


def _places(length: int, size: int, stride: int) -> Sequence[int]:
    """First pixels of patches along one side of an image; the rest beyond the last is left over."""
    return range(0, length - size + 1, stride) or (_within(length, size, 0),)


def _within(length: int, size: int, share: float) -> int:
    """First pixel of a patch inside an image; centred on an image smaller than the patch."""
    if length <= size:
        return (length - size) // 2
    return int(share * (length - size + 1))


def normalise(image: NDArray[np.uint8], mean: ArrayLike, std: ArrayLike) -> NDArray[np.float32]:
    """`(H, W, 3)` uint8 to `(3, H, W)` float32: (image / 255 − mean) / std in each channel.

    Args:
        image: RGB.
        mean: Three, in [0, 1].
        std: Three, above 0.
    """
    scale = 1 / (255 * np.asarray(std, np.float64))
    offset = -np.asarray(mean, np.float64) / np.asarray(std, np.float64)
    # One affine map in OpenCV: four times faster than three passes in NumPy.
    matrix = np.hstack([np.diag(scale), offset[:, None]])
    channels = cv2.transform(image.astype(np.float32), matrix)
    return np.ascontiguousarray(channels.transpose(2, 0, 1))


def normalise_by_itself(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """`(H, W, 3)` uint8 to `(3, H, W)` float32 with mean 0 and deviation 1 in each channel.

    "Subtracting mean and dividing standard deviation in each image channel" (paper 002). A
    channel without any variation becomes 0.
    """
    mean, std = channel_statistics([image])
    return normalise(image, mean, np.maximum(std, 1 / 255))


def channel_statistics(
    images: Iterable[NDArray[np.uint8]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation `(3,)` of all pixels of all images, in [0, 1].

    Raises:
        UserError: there is no image.
    """
    counts = np.zeros((3, 256), np.int64)
    for image in images:
        for channel in range(3):
            plane = np.ascontiguousarray(image[..., channel])
            counts[channel] += np.bincount(plane.ravel(), minlength=256)
    pixels = counts.sum(axis=1)
    if not pixels[0]:
        raise UserError("There is no image to take the mean and deviation of; add some images.")
    levels = np.arange(256) / 255
    mean = counts @ levels / pixels
    variance = np.array([counts[c] @ (levels - mean[c]) ** 2 for c in range(3)]) / pixels
    return mean, np.sqrt(variance)
