"""What a description of a codec's decoding holds."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

Number = bool | int | float | str


class MapMeaning(BaseModel):
    """One map of a network."""

    model_config = ConfigDict(extra="forbid")

    channel: int = Field(description="Its place, from 0 on")
    name: str
    meaning: str
    activation: str = Field(description="What is applied to the network's linear output first")
    unit: str


class Decoding(BaseModel):
    """All that another program needs to find the detector's nuclei in its maps.

    Lengths in `numbers` are in pixels at `mpp`; each is used in `steps` under its own name.
    """

    model_config = ConfigDict(extra="forbid")

    codec: str
    mpp: float = Field(description="µm per pixel of the images and of the maps")
    input: str
    stride_px: int = Field(description="Tiles of an image begin at multiples of it")
    context_px: int = Field(
        description="What tiles see on each side beyond what is kept of them, to equal the whole"
    )
    maps: list[MapMeaning]
    numbers: dict[str, Number]
    steps: list[str] = Field(description="To be followed in this order")
    nuclei: str = Field(description="What the steps end with")


def shown(class_name: str) -> str:
    """A class as it is called in a description; the detector of all nuclei has one without name."""
    return class_name or "nucleus"


def maps_of(
    names: tuple[str, ...], *, first: int, meaning: str, activation: str, unit: str
) -> list[MapMeaning]:
    """A map a name, from channel `first` on; `{}` in `meaning` stands for the name."""
    return [
        MapMeaning(
            channel=first + number,
            name=shown(name),
            meaning=meaning.format(shown(name)),
            activation=activation,
            unit=unit,
        )
        for number, name in enumerate(names)
    ]


def background(activation: str) -> MapMeaning:
    """The map of what is no nucleus, before those of the classes."""
    return MapMeaning(
        channel=0,
        name="background",
        meaning="that the pixel is of no nucleus",
        activation=activation,
        unit="probability",
    )
