"""Detection on images and slides of any size, and what is written of it."""

from transfer_kit.inference.writers import write_nuclei_csv, write_nuclei_geojson, write_png

__all__ = ["write_nuclei_csv", "write_nuclei_geojson", "write_png"]
