"""Everything between the nuclei: cytoplasm with its borders, fibres, and empty glass."""

from __future__ import annotations

import numpy as np

from transfer_kit.data.synthetic.noise import Field, band, oriented, smooth
from transfer_kit.data.synthetic.nuclei import Canvas, Shape
from transfer_kit.data.synthetic.organ import Organ
from transfer_kit.data.synthetic.tissue import Tissue, px, soft_step, voronoi, warped


def ground(
    tissue: Tissue,
    organ: Organ,
    *,
    canvas: Canvas,
    shapes: list[Shape],
    rng: np.random.Generator,
) -> tuple[Field, Field, Field]:
    """Haematoxylin and eosin densities without nuclei, and each pixel's cell tone, unit noise."""
    body_h, body_e, body_void, tone = _cytoplasm(tissue, organ, shapes, rng)
    fibre_h, fibre_e, fibre_void = _fibres(tissue, organ, rng)
    cells = tissue.cells
    haematoxylin = cells * body_h + (1 - cells) * fibre_h + tissue.haematoxylin
    eosin = cells * body_e + (1 - cells) * fibre_e + tissue.eosin
    gaps = np.maximum(cells * body_void, (1 - cells) * fibre_void)
    void = np.maximum(np.maximum(tissue.void, gaps), 0.6 * canvas.halo)
    # A nucleus fills the depth of the section: little cytoplasm above it, and no gap.
    void = void * (1 - 0.95 * canvas.cover)
    thickness = 1 + 0.07 * smooth(rng, tissue.size, px(60))
    left = (1 - void) * thickness
    return (
        np.maximum(haematoxylin * left * (1 - 0.8 * canvas.cover), 0),
        np.maximum(eosin * left * (1 - 0.45 * canvas.cover), 0.004),
        tone,
    )


def _cytoplasm(
    tissue: Tissue, organ: Organ, shapes: list[Shape], rng: np.random.Generator
) -> tuple[Field, Field, Field, Field]:
    """Haematoxylin, eosin, clefts and tone of cell bodies, as if they filled the image."""
    size, cell = tissue.size, organ.cytoplasm
    grain = cell.granularity * (0.6 * band(rng, size, 1.0, 3.5) + 0.6 * smooth(rng, size, px(2.2)))
    shrunk = cell.cleft * rng.beta(0.7, 1.4)
    centres = np.concatenate(
        [np.array([[s.x, s.y] for s in shapes]).reshape(-1, 2), tissue.cell_centres]
    )
    if len(centres) < 2:
        flat = np.zeros((size, size))
        return cell.haematoxylin * (1 + grain), cell.eosin * (1 + grain), flat, flat
    xs, ys = warped(rng, size, amount_um=0.5, scale_um=5.0)
    nearest, border = voronoi(centres, xs, ys)
    tone = rng.standard_normal(len(centres))[nearest]
    edge = soft_step(px(0.45) - border, px(0.35))
    eosin = cell.eosin * (1 + 0.09 * tone + grain) + cell.membrane * edge
    haematoxylin = cell.haematoxylin * (1 + 0.15 * tone + grain)
    patchy = soft_step(smooth(rng, size, px(30)) + 2.2 * shrunk - 0.9, 0.5)
    width = px(0.7) * (0.15 + shrunk) * np.maximum(1 + 0.6 * smooth(rng, size, px(7)), 0)
    cleft = 0.85 * soft_step(width - border, px(0.35)) * patchy * min(1.0, 2.5 * shrunk)
    # Vacuoles, more in some cells than in others.
    foam = soft_step(smooth(rng, size, px(2.4)) - 2.3 + 0.25 * tone, 0.35) * 0.55
    return haematoxylin, eosin, np.maximum(cleft, foam), tone


def _fibres(tissue: Tissue, organ: Organ, rng: np.random.Generator) -> tuple[Field, Field, Field]:
    """Haematoxylin, eosin and gaps of the stroma, as if it filled the image."""
    size, stroma = tissue.size, organ.stroma
    width, length, wave = px(stroma.fibre_um), stroma.length, px(stroma.wave_um)
    coarse = oriented(
        rng, tissue.grain, width_px=2.2 * width, length_px=length * width, wave_px=wave
    )
    fine = oriented(
        rng,
        tissue.grain,
        width_px=max(width / 2.4, 1.5),
        length_px=0.6 * length * width,
        wave_px=0.6 * wave,
    )
    mottle = smooth(rng, size, px(9))
    relief = 0.65 * coarse + 0.3 * fine + 0.4 * mottle + 0.25 * band(rng, size, 0.7, 2.0)
    eosin = stroma.eosin * np.maximum(1 + stroma.contrast * relief, 0.15)
    haematoxylin = stroma.haematoxylin * np.maximum(1 + 0.3 * mottle, 0)
    torn = stroma.cleft * rng.beta(0.9, 1.4)
    gaps = soft_step(-(coarse + 0.5 * fine + 0.5 * mottle) - 2.6 + 2.4 * torn, 0.35)
    return haematoxylin, eosin, gaps * 0.9
