"""Stain: estimating it, bringing images to another one, and varying it."""

from transfer_kit.data.stain.colour_statistics import (
    ColourDistribution,
    ColourStatistics,
    colour_statistics,
    matched,
    reinhard,
)
from transfer_kit.data.stain.concentrations import concentrations, nonnegative_concentrations
from transfer_kit.data.stain.density import map_density, optical_density
from transfer_kit.data.stain.estimate import StainEstimate, StainPair, estimate_stains
from transfer_kit.data.stain.hestain import HEStain
from transfer_kit.data.stain.jitter import StainJitter
from transfer_kit.data.stain.luminosity import standardise_luminosity
from transfer_kit.data.stain.macenko import macenko_vectors
from transfer_kit.data.stain.named import NAMED, find_reference
from transfer_kit.data.stain.normalise import Normalisation, StainNormaliser, brought_to
from transfer_kit.data.stain.randstainna import RandStainNA
from transfer_kit.data.stain.reference import StainReference
from transfer_kit.data.stain.tissue import TissueColours, tissue_colours, tissue_mask
from transfer_kit.data.stain.vahadane import vahadane_vectors
from transfer_kit.data.stain.variation import StainChange, stain_variation
from transfer_kit.data.stain.vectors import Stains, published_vectors, stains_of

__all__ = [
    "NAMED",
    "ColourDistribution",
    "ColourStatistics",
    "HEStain",
    "Normalisation",
    "RandStainNA",
    "StainChange",
    "StainEstimate",
    "StainJitter",
    "StainNormaliser",
    "StainPair",
    "StainReference",
    "Stains",
    "TissueColours",
    "brought_to",
    "colour_statistics",
    "concentrations",
    "estimate_stains",
    "find_reference",
    "macenko_vectors",
    "map_density",
    "matched",
    "nonnegative_concentrations",
    "optical_density",
    "published_vectors",
    "reinhard",
    "stain_variation",
    "stains_of",
    "standardise_luminosity",
    "tissue_colours",
    "tissue_mask",
    "vahadane_vectors",
]
