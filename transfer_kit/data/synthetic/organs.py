"""What each organ looks like, in numbers; all lengths in µm.

Sizes and densities of breast, colon, kidney and brain follow annotated H&E at 40x; those of eye and
liver follow textbooks (uveal melanoma: spindle cells with pale nuclei, melanin), and so do mitoses
and what resembles them; the neuroendocrine tumour of the pancreas follows paper 001 and photographs
of Ki67. They are meant to look plausible, and to differ from one another as organs do, not to be
measured.
"""

from __future__ import annotations

from dataclasses import replace

from transfer_kit.data.synthetic.organ import (
    Cytoplasm,
    Ki67,
    Mitoses,
    Organ,
    Population,
    Spread,
    Stroma,
)
from transfer_kit.data.synthetic.stain import Stain

LYMPHOCYTE = Population(
    Spread(6.1, 0.5), Spread(1.12, 0.07), Spread(0.98, 0.09), rim=0.1, chromatin=0.16, halo=0.35
)
FIBROBLAST = Population(
    Spread(10.5, 2.0), Spread(3.0, 0.6), Spread(0.68, 0.12), chromatin=0.16, bend=0.5, halo=0.05
)
ENDOTHELIUM = Population(
    Spread(9.0, 1.5), Spread(3.4, 0.5), Spread(0.75, 0.1), chromatin=0.14, bend=0.5, halo=0.0
)

BREAST = Organ(
    tissue="ducts",
    populations={
        "epithelial": Population(
            Spread(8.1, 1.6),
            Spread(1.42, 0.27),
            Spread(0.6, 0.13),
            rim=0.35,
            chromatin=0.17,
            nucleoli=(0, 2),
            irregularity=0.055,
            halo=0.12,
        ),
        "lymphocyte": LYMPHOCYTE,
        "fibroblast": FIBROBLAST,
        "endothelial": ENDOTHELIUM,
    },
    nuclei_per_mm2=(1800, 11000),
    median_length_um=(6.0, 10.5),
    cytoplasm=Cytoplasm(eosin=0.21, haematoxylin=0.17, membrane=0.06, cleft=0.7),
)

EYE = Organ(
    tissue="fascicles",
    populations={
        "spindle": Population(
            Spread(12.8, 2.0),
            Spread(2.35, 0.4),
            Spread(0.41, 0.07),
            rim=0.55,
            chromatin=0.22,
            nucleoli=(1, 1),
            nucleolus_um=1.5,
            irregularity=0.03,
            bend=0.2,
            halo=0.0,
        ),
        "epithelioid": Population(
            Spread(11.5, 1.6),
            Spread(1.3, 0.15),
            Spread(0.38, 0.06),
            rim=0.7,
            chromatin=0.26,
            nucleoli=(1, 2),
            nucleolus_um=2.2,
            irregularity=0.05,
            halo=0.0,
        ),
        "lymphocyte": LYMPHOCYTE,
        "endothelial": ENDOTHELIUM,
    },
    nuclei_per_mm2=(2200, 8500),
    median_length_um=(8.0, 15.0),
    stain=Stain(haematoxylin=(0.62, 0.69, 0.33), haematoxylin_strength=0.92),
    cytoplasm=Cytoplasm(eosin=0.3, haematoxylin=0.09, granularity=0.18, membrane=0.04, cleft=0.25),
    stroma=Stroma(eosin=0.28, fibre_um=1.2, contrast=0.22, cleft=0.3),
    vessels=0.9,
    melanin=1.0,
)

COLON = Organ(
    tissue="crypts",
    populations={
        "columnar": Population(
            Spread(10.2, 1.3),
            Spread(2.0, 0.3),
            Spread(0.74, 0.1),
            rim=0.25,
            chromatin=0.2,
            irregularity=0.045,
            halo=0.0,
        ),
        "lymphocyte": LYMPHOCYTE,
        "plasma": Population(
            Spread(6.8, 0.6), Spread(1.2, 0.1), Spread(0.85, 0.1), rim=0.3, chromatin=0.35, halo=0.2
        ),
        "fibroblast": FIBROBLAST,
        "endothelial": ENDOTHELIUM,
    },
    nuclei_per_mm2=(4000, 14000),
    median_length_um=(6.0, 11.5),
    stain=Stain(haematoxylin=(0.58, 0.72, 0.38)),
    cytoplasm=Cytoplasm(eosin=0.36, haematoxylin=0.2, membrane=0.06),
    stroma=Stroma(eosin=0.26, haematoxylin=0.05, contrast=0.3, cleft=0.7),
    vessels=0.8,
)

KIDNEY = Organ(
    tissue="tubules",
    populations={
        "tubular": Population(
            Spread(6.6, 0.6),
            Spread(1.12, 0.08),
            Spread(0.62, 0.1),
            rim=0.4,
            chromatin=0.24,
            nucleoli=(0, 1),
            irregularity=0.03,
            halo=0.05,
        ),
        "glomerular": Population(
            Spread(6.8, 0.9), Spread(1.5, 0.3), Spread(0.74, 0.1), chromatin=0.2, irregularity=0.07
        ),
        "endothelial": ENDOTHELIUM,
        "lymphocyte": LYMPHOCYTE,
    },
    nuclei_per_mm2=(2500, 9500),
    median_length_um=(5.4, 8.8),
    cytoplasm=Cytoplasm(eosin=0.42, haematoxylin=0.06, granularity=0.2, membrane=0.0),
    stroma=Stroma(eosin=0.24, contrast=0.2, cleft=0.8),
    vessels=0.3,
)

LIVER = Organ(
    tissue="plates",
    populations={
        "hepatocyte": Population(
            Spread(7.6, 0.9),
            Spread(1.07, 0.05),
            Spread(0.5, 0.08),
            rim=0.5,
            chromatin=0.26,
            nucleoli=(1, 2),
            nucleolus_um=1.5,
            irregularity=0.015,
            halo=0.0,
        ),
        "endothelial": ENDOTHELIUM,
        "lymphocyte": LYMPHOCYTE,
    },
    nuclei_per_mm2=(1500, 6000),
    median_length_um=(6.2, 10.0),
    stain=Stain(eosin=(0.22, 0.83, 0.52)),
    cytoplasm=Cytoplasm(eosin=0.34, haematoxylin=0.12, granularity=0.22, membrane=0.1),
    stroma=Stroma(eosin=0.3, cleft=0.9),
    vessels=0.2,
)

BRAIN = Organ(
    tissue="neuropil",
    populations={
        "glial": Population(
            Spread(7.6, 1.5),
            Spread(1.5, 0.3),
            Spread(0.92, 0.12),
            rim=0.12,
            chromatin=0.15,
            irregularity=0.075,
            halo=0.5,
        ),
        "oligodendroglial": Population(
            Spread(6.3, 0.5), Spread(1.08, 0.05), Spread(0.82, 0.1), chromatin=0.18, halo=0.9
        ),
        "endothelial": ENDOTHELIUM,
    },
    nuclei_per_mm2=(1800, 9000),
    median_length_um=(6.0, 10.0),
    stain=Stain(haematoxylin=(0.62, 0.74, 0.26), eosin=(0.26, 0.88, 0.39), hue_jitter=0.03),
    cytoplasm=Cytoplasm(eosin=0.3, haematoxylin=0.12, membrane=0.0),
    stroma=Stroma(
        eosin=0.27,
        haematoxylin=0.1,
        fibre_um=0.9,
        length=3.5,
        wave_um=0.8,
        contrast=0.26,
        cleft=0.12,
    ),
    vessels=0.8,
    size_jitter=0.1,
)

PANCREAS_KI67 = Organ(
    tissue="nests",
    populations={
        "tumour": Population(
            Spread(8.6, 0.8),
            Spread(1.18, 0.12),
            Spread(0.36, 0.06),
            rim=0.45,
            chromatin=0.26,
            nucleoli=(0, 1),
            irregularity=0.03,
            halo=0.0,
        ),
        "acinar": Population(
            Spread(7.4, 0.6),
            Spread(1.1, 0.08),
            Spread(0.38, 0.06),
            rim=0.4,
            chromatin=0.22,
            nucleoli=(1, 1),
            irregularity=0.025,
            halo=0.0,
        ),
        "lymphocyte": replace(LYMPHOCYTE, haematoxylin=Spread(0.6, 0.06), halo=0.15),
        "fibroblast": replace(FIBROBLAST, haematoxylin=Spread(0.44, 0.07)),
        "endothelial": replace(ENDOTHELIUM, haematoxylin=Spread(0.46, 0.07)),
    },
    nuclei_per_mm2=(2500, 9500),
    median_length_um=(6.5, 10.5),
    # Counterstained with haematoxylin alone: what eosin is elsewhere is a faint background here.
    stain=Stain(
        haematoxylin=(0.69, 0.60, 0.37),
        eosin=(0.50, 0.58, 0.64),
        blood=(0.36, 0.45, 0.82),
        blood_strength=0.3,
        strength_jitter=0.15,
    ),
    cytoplasm=Cytoplasm(eosin=0.06, haematoxylin=0.075, granularity=0.3, membrane=0.02, cleft=0.3),
    stroma=Stroma(eosin=0.055, haematoxylin=0.02, contrast=0.3, cleft=0.3),
    vessels=1.2,
    ki67=Ki67(
        tumour=("tumour",),
        index=(0.03, 0.5),
        others={"lymphocyte": 0.06, "endothelial": 0.02, "acinar": 0.01, "fibroblast": 0.01},
        strong=Spread(0.85, 0.16),
        weak=Spread(0.42, 0.06),
        share_weak=0.25,
    ),
    pixels=2,
    site="pancreas",
)

SMOOTH_AND_DARK = Population(
    Spread(4.6, 1.1),
    Spread(1.15, 0.12),
    Spread(1.25, 0.14),
    rim=0.0,
    chromatin=0.06,
    nucleoli=(0, 0),
    irregularity=0.02,
    halo=0.0,
)

BREAST_MITOSES = replace(
    BREAST,
    populations={
        **BREAST.populations,
        "epithelial": replace(
            BREAST.populations["epithelial"], length_um=Spread(9.0, 1.7), nucleoli=(0, 3)
        ),
        "apoptotic": SMOOTH_AND_DARK,
        # Dark, but whole nuclei: an even outline with a membrane, of usual size.
        "hyperchromatic": replace(
            SMOOTH_AND_DARK,
            length_um=Spread(8.6, 1.4),
            aspect=Spread(1.4, 0.25),
            haematoxylin=Spread(1.02, 0.12),
            rim=0.12,
            chromatin=0.12,
            irregularity=0.08,
            halo=0.3,
        ),
        # A pyknotic spindle cell, as long and thin as a plate, with smooth edges and pointed ends.
        "pyknotic": replace(
            SMOOTH_AND_DARK,
            length_um=Spread(9.0, 1.4),
            aspect=Spread(3.2, 0.5),
            haematoxylin=Spread(1.15, 0.14),
            bend=0.3,
            halo=0.2,
        ),
    },
    mitoses=Mitoses(
        of="epithelial",
        per_mm2=330,
        evenness=1.4,
        stages={
            "prometaphase": 0.26,
            "metaphase": 0.4,
            "rosette": 0.08,
            "anaphase": 0.16,
            "telophase": 0.1,
        },
        haematoxylin=Spread(1.1, 0.17),
        clearing=Spread(0.45, 0.2),
        soft=0.2,
        look_alikes={"apoptotic": 260, "hyperchromatic": 320, "pyknotic": 160},
        pink=Spread(0.24, 0.06),
    ),
    cases=72,
    site="breast",
)

BY_NAME = {
    "breast": BREAST,
    "eye": EYE,
    "colon": COLON,
    "kidney": KIDNEY,
    "liver": LIVER,
    "brain": BRAIN,
    "pancreas-ki67": PANCREAS_KI67,
    "breast-mitoses": BREAST_MITOSES,
}
