"""The terms in which an organ is described; all lengths in µm."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.synthetic.stain import Stain

MPP = 0.25


@dataclass(frozen=True)
class Spread:
    """A normal distribution cut off at two standard deviations."""

    mean: float
    sd: float

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.float64]:
        """`count` values."""
        values: NDArray[np.float64] = self.mean + self.sd * np.clip(
            rng.standard_normal(count), -2, 2
        )
        return values


@dataclass(frozen=True)
class Population:
    """Nuclei of one kind.

    Attributes:
        length_um: Long axis.
        aspect: Long axis over short axis, at least 1.
        haematoxylin: Optical density of its body.
        rim: Extra density of the nuclear membrane, as a share of the body.
        chromatin: Contrast of the chromatin, as a share of the body.
        nucleoli: Fewest and most nucleoli.
        nucleolus_um: Diameter of a nucleolus.
        irregularity: How far the outline leaves an ellipse, as a share of the radius.
        bend: Curvature: how far the tips leave the axis, as a share of the width.
        halo: Chance of a clear halo around it.
        soft: Share that lies out of focus; still plain to see, and labelled.
    """

    length_um: Spread
    aspect: Spread
    haematoxylin: Spread
    rim: float = 0.3
    chromatin: float = 0.2
    nucleoli: tuple[int, int] = (0, 1)
    nucleolus_um: float = 1.2
    irregularity: float = 0.04
    bend: float = 0.0
    halo: float = 0.1
    soft: float = 0.12


@dataclass(frozen=True)
class Cytoplasm:
    """The bodies of cells in epithelium or tumour.

    Attributes:
        eosin, haematoxylin: Optical densities.
        granularity: Contrast of its granules, as a share of its density.
        membrane: Extra eosin at the borders of cells.
        cleft: White retraction clefts between cells, 0 to 1, the most that a case shows.
    """

    eosin: float = 0.32
    haematoxylin: float = 0.14
    granularity: float = 0.18
    membrane: float = 0.1
    cleft: float = 0.0


@dataclass(frozen=True)
class Stroma:
    """What lies between.

    Attributes:
        eosin, haematoxylin: Optical densities.
        fibre_um: Width of a bundle of fibres.
        length: Length of a bundle, in widths.
        wave_um: How far fibres wander to the side.
        contrast: Contrast of the fibres, as a share of the density.
        cleft: White gaps between bundles, 0 to 1, the most that a case shows.
    """

    eosin: float = 0.35
    haematoxylin: float = 0.03
    fibre_um: float = 1.6
    length: float = 22.0
    wave_um: float = 2.0
    contrast: float = 0.25
    cleft: float = 0.5


@dataclass(frozen=True)
class Ki67:
    """Immunohistochemistry in place of H&E: nuclei that divide are brown.

    Attributes:
        tumour: The populations that are tumour.
        index: Lowest and highest share of a case's tumour nuclei that are positive.
        others: Share of positive nuclei of other populations.
        strong, weak: Optical density of the brown.
        share_weak: Share of the positive nuclei that are weak.
    """

    tumour: tuple[str, ...]
    index: tuple[float, float]
    others: dict[str, float]
    strong: Spread
    weak: Spread
    share_weak: float


@dataclass(frozen=True)
class Mitoses:
    """Dividing cells, which alone are annotated, among cells that resemble them.

    Attributes:
        of: The population whose cells divide.
        per_mm2: Mean number of mitotic figures.
        evenness: Shape of the gamma distribution of that number over cases; below 1 most cases
            have few and some many.
        stages: How often each stage is seen, a key of `chromosomes.STAGES`, in any unit.
        haematoxylin: Optical density of chromosomes.
        clearing: How clear the cytoplasm around them is, 0 to 1.
        soft: Share of figures that lie out of focus.
        look_alikes: Mean number per mm² of nuclei of each of these populations.
        pink: Eosin of the cytoplasm of dying cells.
    """

    of: str
    per_mm2: float
    evenness: float
    stages: dict[str, float]
    haematoxylin: Spread
    clearing: Spread
    soft: float
    look_alikes: dict[str, float]
    pink: Spread


@dataclass(frozen=True)
class Organ:
    """All that the drawing of one organ needs.

    Attributes:
        tissue: Which architecture, a key of `drawing.TISSUES`.
        populations: Its kinds of nuclei, by name.
        nuclei_per_mm2: Fewest and most nuclei that one image of it shows.
        median_length_um: Smallest and largest median length of the nuclei in one image.
        vessels: Mean number of blood vessels in an image.
        melanin: Pigment load of the most pigmented cases, 0 to 1.
        size_jitter: Standard deviation between cases of the logarithm of nuclear size.
        ki67: How its nuclei are immunostained; None is H&E.
        mitoses: Its dividing cells, where they alone are annotated; None annotates all nuclei.
        cases: Cases of its dataset, where none are asked for.
        pixels: Pixels of the drawing, along one axis, to one of the image.
        site: The organ as its card names it, where that is not the name of the drawing.
    """

    tissue: str
    populations: dict[str, Population]
    nuclei_per_mm2: tuple[float, float]
    median_length_um: tuple[float, float]
    stain: Stain = field(default_factory=Stain)
    cytoplasm: Cytoplasm = field(default_factory=Cytoplasm)
    stroma: Stroma = field(default_factory=Stroma)
    vessels: float = 0.5
    melanin: float = 0.0
    size_jitter: float = 0.08
    ki67: Ki67 | None = None
    mitoses: Mitoses | None = None
    cases: int = 24
    pixels: int = 1
    site: str = ""

    @property
    def mpp(self) -> float:
        """µm per pixel of its images."""
        return MPP * self.pixels
