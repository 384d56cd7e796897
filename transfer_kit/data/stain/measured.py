"""Stain references measured with `StainReference.of_images`, without and with luminosity."""

from __future__ import annotations

from typing import Any

MEASURED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # Median of the 50 H&E images of triple-negative breast cancer of paper 003 (CC BY 4.0).
    "tnbc": (
        {
            "stains": "H&E",
            "macenko": {
                "vectors": ((0.6463, 0.6684, 0.368), (0.3519, 0.7895, 0.5029)),
                "strengths": (1.084, 0.6346),
            },
            "vahadane": {
                "vectors": ((0.5915, 0.6983, 0.4031), (0.4292, 0.7466, 0.5083)),
                "strengths": (1.3768, 0.923),
            },
            "reinhard": {
                "space": "lab",
                "mean": (198.0872, 137.9945, 120.7242),
                "deviation": (22.3752, 5.1612, 5.1615),
            },
            "luminosity": False,
        },
        {
            "stains": "H&E",
            "macenko": {
                "vectors": ((0.6886, 0.6334, 0.3532), (0.3115, 0.7996, 0.5134)),
                "strengths": (0.9859, 0.5667),
            },
            "vahadane": {
                "vectors": ((0.6057, 0.6993, 0.3796), (0.4254, 0.7826, 0.4544)),
                "strengths": (1.3262, 0.8336),
            },
            "reinhard": {
                "space": "lab",
                "mean": (221.4778, 137.6565, 121.0317),
                "deviation": (24.6593, 5.4606, 5.4),
            },
            "luminosity": True,
        },
    ),
    # `skimage.data.immunohistochemistry()`: haematoxylin and DAB, public domain.
    "immunohistochemistry": (
        {
            "stains": "H-DAB",
            "macenko": {
                "vectors": ((0.6638, 0.6473, 0.3747), (0.2706, 0.4926, 0.8271)),
                "strengths": (0.8984, 2.5004),
            },
            "vahadane": {
                "vectors": ((0.5755, 0.6157, 0.5382), (0.3227, 0.5139, 0.7948)),
                "strengths": (1.2177, 2.7654),
            },
            "reinhard": {
                "space": "lab",
                "mean": (169.8705, 132.7874, 139.3208),
                "deviation": (45.4683, 4.5253, 12.567),
            },
            "luminosity": False,
        },
        {
            "stains": "H-DAB",
            "macenko": {
                "vectors": ((0.6782, 0.6428, 0.3562), (0.2407, 0.4777, 0.8449)),
                "strengths": (0.8569, 2.2556),
            },
            "vahadane": {
                "vectors": ((0.548, 0.6126, 0.5696), (0.3123, 0.5128, 0.7997)),
                "strengths": (1.233, 2.4992),
            },
            "reinhard": {
                "space": "lab",
                "mean": (182.9371, 132.7631, 139.3424),
                "deviation": (48.9152, 4.5361, 12.5467),
            },
            "luminosity": True,
        },
    ),
}
