"""One detector over many slides."""

from transfer_kit.cohorts.cohort import search_all
from transfer_kit.cohorts.work import search_one

__all__ = ["search_all", "search_one"]
