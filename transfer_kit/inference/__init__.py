"""Detection on images, and what is written of it."""

from transfer_kit.inference.predict import Predicted, predict_images
from transfer_kit.inference.writers import write_nuclei_csv, write_nuclei_geojson, write_png

__all__ = ["Predicted", "predict_images", "write_nuclei_csv", "write_nuclei_geojson", "write_png"]
