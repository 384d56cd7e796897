"""What is done to one slide of a cohort, here or on another machine."""

from __future__ import annotations

from transfer_kit.errors import UserError
from transfer_kit.inference.predict import SlideTask, predict_slide
from transfer_kit.inference.records import Record, write_record


def search_one(task: SlideTask) -> None:
    """Search a slide; if that fails, the reason is its record.

    Raises:
        UserError: why it failed.
    """
    try:
        predict_slide(task)
    except UserError as error:
        write_record(task.output, task.name, Record(str(task.slide), reason=str(error)))
        raise
