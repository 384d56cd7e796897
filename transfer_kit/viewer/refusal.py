"""What a request is refused with: a status and a sentence that the page shows."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818 - the page asked for something that is not to be had
    """A request that is not answered.

    Args:
        status: Of HTTP, 4xx.
        sentence: What was wrong, and the mend.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
