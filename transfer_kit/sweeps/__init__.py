"""Searching the fields of a recipe for those that give most on validation images."""

from transfer_kit.sweeps.finding import find_sweep, list_sweeps
from transfer_kit.sweeps.sweep import SearchedField, Sweep

__all__ = ["SearchedField", "Sweep", "find_sweep", "list_sweeps"]
