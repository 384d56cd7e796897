"""Organs drawn by code: images like H&E or Ki67 with exact nuclei, to try and test the kit with.

Example:
    >>> image, annotation = draw("breast", case=0, size=200)
    >>> image.shape, len(annotation) > 5
    ((200, 200, 3), True)
"""

from transfer_kit.data.synthetic.algorithm1 import Algorithm1, simulate
from transfer_kit.data.synthetic.dataset import make_dataset
from transfer_kit.data.synthetic.drawing import ORGANS, classes_of, draw, mpp_of

__all__ = ["ORGANS", "Algorithm1", "classes_of", "draw", "make_dataset", "mpp_of", "simulate"]
