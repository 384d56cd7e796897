"""Organs drawn by code: H&E-like images with exact nuclei, to try and test the toolkit with.

Example:
    >>> image, annotation = draw("breast", case=0, size=200)
    >>> image.shape, len(annotation) > 5
    ((200, 200, 3), True)
"""

from transfer_kit.data.synthetic.algorithm1 import Algorithm1, simulate
from transfer_kit.data.synthetic.dataset import make_dataset
from transfer_kit.data.synthetic.drawing import ORGANS, draw

__all__ = ["ORGANS", "Algorithm1", "draw", "make_dataset", "simulate"]
