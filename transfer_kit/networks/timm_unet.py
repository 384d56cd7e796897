"""A U-Net on any encoder of timm: ImageNet's, or a lab's own pathology foundation model."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from transfer_kit.errors import UserError
from transfer_kit.networks.base import Network, register_network
from transfer_kit.networks.blocks import (
    ConvolutionBlock,
    OutputConvolution,
    check_positive,
    cut_to,
    initialise,
    pad_to_multiple,
)
from transfer_kit.networks.timm_encoder import (
    EncoderPart,
    build_encoder,
    encoder_tensors,
    has_attention,
    levels_of,
    parts_of,
    published_encoder,
)

UNBOUNDED_HALO_PX = 224
"""Context of a tile for encoders that see the whole image: about what they were trained on."""

WIDEST_PROBE_PX = 4096
"""Receptive fields beyond this count as the whole image."""


class Doublings(nn.Sequential):
    """Tokens as a map, its size doubled some times by transposed convolutions."""

    def __init__(self, inputs: int, outputs: int, *, count: int) -> None:
        layers: list[nn.Module] = [ConvolutionBlock(inputs, outputs, kernel=1, activation=nn.ReLU)]
        for _ in range(count):
            up = nn.ConvTranspose2d(outputs, outputs, 2, stride=2, bias=False)
            layers += [up, nn.BatchNorm2d(outputs), nn.ReLU(True)]
        super().__init__(*layers)


class DecoderBlock(nn.Module):
    """The coarser map enlarged to the finer one's size, both side by side, two convolutions."""

    def __init__(self, inputs: int, skipped: int, outputs: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            ConvolutionBlock(inputs + skipped, outputs, activation=nn.ReLU),
            ConvolutionBlock(outputs, outputs, activation=nn.ReLU),
        )

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """`(B, outputs, h, w)` for a skip of height h and width w."""
        x = functional.interpolate(x, size=skip.shape[-2:], mode="nearest")
        joined: Tensor = self.convolutions(torch.cat([x, skip], dim=1))
        return joined


class FullSize(nn.Module):
    """The finest map enlarged to the image's size, beside a look at the image itself."""

    def __init__(self, inputs: int, outputs: int, channels: int) -> None:
        super().__init__()
        self.image = ConvolutionBlock(3, outputs, activation=nn.ReLU)
        self.join = ConvolutionBlock(inputs + outputs, outputs, activation=nn.ReLU)
        self.maps = OutputConvolution(outputs, channels, kernel=3)

    def forward(self, x: Tensor, images: Tensor) -> Tensor:
        """`(B, channels, H, W)` float32."""
        x = functional.interpolate(x, size=images.shape[-2:], mode="bilinear", align_corners=False)
        maps: Tensor = self.maps(self.join(torch.cat([x, self.image(images)], dim=1)))
        return maps


@register_network("timm_unet")
class TimmUNet(Network):
    """Any encoder of timm with a U-Net decoder; plain vision transformers too.

    Encoders with a pyramid (ResNet, ConvNeXt, EfficientNet, Swin …) give their levels as skips. A
    plain vision transformer (UNI, H-optimus, Virchow, Phikon …) has tokens of one size: the
    decoder reads them at four depths and makes a pyramid of them, the shallowest doubled three
    times, as UNETR and CellViT do. Images are padded with zeros to multiples of the coarsest
    stride or of the patch; position embeddings are interpolated to the image's size. Weights are
    fresh here; `load_pretrained` fills the encoder's.

    Args:
        channels: Output maps.
        encoder: A name of `timm.list_models()`.
        width: Filters of the decoder's finest level; they double with each coarser one, up to 8.
        encoder_options: The encoder's own arguments, as on its model card; layers by name, such
            as `mlp_layer: SwiGLUPacked`.
        halo_px: Context on each side that a tile is read with. By default the receptive field of
            a convolutional encoder, and 224 px for one that sees the whole image, whose maps then
            depend a little on how an image is tiled.

    Example:
        >>> import torch
        >>> network = TimmUNet(channels=1, encoder="resnet10t", width=8)
        >>> network(torch.zeros(2, 3, 75, 40)).shape
        torch.Size([2, 1, 75, 40])
    """

    pretrained_blocks: tuple[str, ...]
    """The encoder's, all of which a published file must fill."""

    def __init__(
        self,
        *,
        channels: int,
        encoder: str = "resnet34",
        width: int = 32,
        encoder_options: Mapping[str, Any] | None = None,
        halo_px: int | None = None,
    ) -> None:
        super().__init__()
        for option, value in (("channels", channels), ("width", width)):
            check_positive("timm_unet", option, value)
        if halo_px is not None:
            check_positive("timm_unet", "halo_px", halo_px)
        self.encoder_name, self.encoder_options = encoder, dict(encoder_options or {})
        self.encoder = build_encoder(encoder, self.encoder_options)
        levels = levels_of(self.encoder)
        self.indices = [level.place for level in levels]
        self.reductions = [level.reduction for level in levels]
        self.has_tokens = len(set(self.reductions)) == 1
        self.encoder.prune_intermediate_layers(
            self.indices, prune_norm=not self.has_tokens, prune_head=True
        )
        inputs = self._encoder_channels()
        filters = [min(2**level, 8) * width for level in range(len(levels))]
        if self.has_tokens:
            self.neck = nn.ModuleList(
                Doublings(given, wanted, count=len(levels) - 1 - level)
                for level, (given, wanted) in enumerate(zip(inputs, filters, strict=True))
            )
            inputs = filters
        self.decoder = nn.ModuleList(_decoder(inputs, filters))
        self.output = FullSize(filters[0], max(width // 2, 1), channels)
        for name, part in self.named_children():
            if name != "encoder":
                initialise(part)
        self._parts = parts_of(self.encoder, [level.module for level in levels])
        self.pretrained_blocks = tuple(self._parts)
        self._halo_px, self._probed = halo_px, 0

    @property
    def stride(self) -> int:
        """Pixels of the coarsest level, or of a patch."""
        return max(self.reductions)

    @property
    def blocks(self) -> tuple[tuple[str, nn.Module], ...]:
        """`stem` and `stage1` … of the encoder, a transformer's `neck`, `up1` …, `output`."""
        parts = [(name, EncoderPart(self.encoder, *part)) for name, part in self._parts.items()]
        neck = [("neck", self.neck)] if self.has_tokens else []
        ups = [(f"up{number}", block) for number, block in enumerate(self.decoder, 1)]
        return (*parts, *neck, *ups, ("output", self.output))

    @property
    def receptive_field(self) -> int:
        """What `halo_px` says, else measured: at most one stride more than it is.

        Encoders with attention, or with means over the whole image, have no finite one: theirs is
        declared to be 224 px on each side.
        """
        if self._halo_px is not None:
            return 2 * self._halo_px + 1
        if not self._probed:
            self._probed = _probe(self) or 2 * UNBOUNDED_HALO_PX + 1
        return self._probed

    def forward(self, images: Tensor) -> Tensor:
        """Maps `(B, channels, H, W)` float32 of images `(B, 3, H, W)`."""
        padded = pad_to_multiple(images, self.stride)
        features = self._features(padded)
        if self.has_tokens:
            features = [level(tokens) for level, tokens in zip(self.neck, features, strict=True)]
        *finer, x = features
        for block, skip in zip(self.decoder, reversed(finer), strict=True):
            x = block(x, skip)
        maps: Tensor = self.output(x, padded)
        return cut_to(maps, images)

    def _features(self, images: Tensor) -> list[Tensor]:
        """The encoder's features `(B, C, h, w)`, the finest or shallowest first."""
        found: list[Tensor] = self.encoder.forward_intermediates(
            images, indices=self.indices, norm=self.has_tokens, intermediates_only=True
        )
        return found

    def _encoder_channels(self) -> list[int]:
        """The channels of each level, from a look at a small image.

        Raises:
            UserError: the encoder does not take images of any size.
        """
        rows, columns = 2 * self.stride, 3 * self.stride
        expected = [(rows // step, columns // step) for step in self.reductions]
        self.encoder.eval()
        try:
            with torch.no_grad():
                features = self._features(torch.zeros(1, 3, rows, columns))
            fits = [tuple(maps.shape[-2:]) for maps in features] == expected
        except (AssertionError, RuntimeError, ValueError):
            fits = False
        if not fits:
            raise UserError(
                f"The encoder {self.encoder_name!r} takes images of one size alone; choose another "
                "one, such as a ResNet, a ConvNeXt or a vision transformer (vit_…)."
            )
        self.encoder.train()
        return [maps.shape[1] for maps in features]

    def published_weights(self, name: str) -> dict[str, Tensor]:
        """The encoder's weights that are published as `name`: `imagenet`, downloaded by timm."""
        if name != "imagenet":
            raise KeyError(name)
        return published_encoder(self.encoder_name, self.encoder_options)

    def from_published(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A published encoder's tensors under this network's names; its classifier's are left."""
        return {f"encoder.{k}": v for k, v in encoder_tensors(self.encoder, tensors).items()}


def _decoder(inputs: Sequence[int], filters: Sequence[int]) -> Iterator[DecoderBlock]:
    """From the coarsest level to the finest; both count channels from the finest on."""
    coarser = inputs[-1]
    for skipped, outputs in zip(reversed(inputs[:-1]), reversed(filters[:-1]), strict=True):
        yield DecoderBlock(coarser, skipped, outputs)
        coarser = outputs


def _probe(network: TimmUNet) -> int:
    """Width of the square that a column of output pixels sees, 0 where it has no end.

    Whatever depends on a pixel that is not a number is none itself. One stride of such columns is
    laid into wider and wider strips until what they spoil ends before the strip does.
    """
    if has_attention(network.encoder):
        return 0
    stride, width = network.stride, 8 * network.stride
    # Fast convolutions in single precision carry what is no number into outputs without it.
    probed = copy.deepcopy(network).cpu().double().eval()
    while width <= WIDEST_PROBE_PX:
        strip, first = torch.zeros(1, 3, stride, width).double(), width // 2 // stride * stride
        strip[..., first : first + stride] = math.nan
        with torch.no_grad():
            spoilt = probed(strip).isnan().any(dim=(0, 1, 2)).nonzero()
        left, right = int(spoilt.min()), int(spoilt.max())
        if left > 0 and right < width - 1:
            return 2 * max(first + stride - 1 - left, right - first) + 1
        width *= 2
    return 0
