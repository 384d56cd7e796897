"""The card inside an exported file: the detector's own, and how its maps are decoded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from transfer_kit.card import DetectorCard
from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.exporting.decoding import Decoding, describe_decoding


def exported_card(detector: Detector) -> str:
    """The detector's card as JSON, with the entry `decoding`."""
    document: dict[str, Any] = detector.card.model_dump(mode="json")
    document["decoding"] = describe_decoding(detector).model_dump(mode="json")
    return json.dumps(document, ensure_ascii=False)


def read_exported_card(text: str, path: str | Path) -> tuple[DetectorCard, Decoding]:
    """Card and decoding of the text that `exported_card` gave.

    Args:
        text: JSON.
        path: The file that it comes from, for what a user is told.

    Raises:
        UserError: it is no card of an exported file.
    """
    try:
        document = json.loads(text)
        decoding = Decoding.model_validate(document.pop("decoding"))
        return DetectorCard.model_validate(document), decoding
    except (ValidationError, ValueError, KeyError, TypeError, AttributeError) as error:
        first = str(error).splitlines()[0]
        raise UserError(
            f"The card in {path} cannot be read ({first}); export the detector again."
        ) from None
