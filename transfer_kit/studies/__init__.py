"""Many recipes, one question: a table, a figure and a sentence."""

from transfer_kit.studies.finding import find_study, list_studies
from transfer_kit.studies.study import Study
from transfer_kit.studies.trials import Trial, trials_of

__all__ = ["Study", "Trial", "find_study", "list_studies", "trials_of"]
