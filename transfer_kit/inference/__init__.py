"""Detection on images and slides of any size, and what is written of it."""

from transfer_kit.inference.writers import write_nuclei, write_png

__all__ = ["write_nuclei", "write_png"]
