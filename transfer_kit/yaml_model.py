"""What has a YAML file of its own: read with all faults told, written so that it reads back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from typing_extensions import Self

from transfer_kit.errors import UserError
from transfer_kit.files import replacing
from transfer_kit.yaml_faults import explain_faults, line_of, parse_yaml


class YamlModel(BaseModel):
    """Base of what has a YAML file of its own: unknown fields fail, and nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """What a YAML file holds.

        Raises:
            UserError: the file is missing, is no YAML, or has faults: all are told at once, each
                with its line.
        """
        path = Path(path)
        return cls.of_fields(parse_yaml(path), path)

    @classmethod
    def of_fields(cls, fields: Mapping[str, Any], path: Path | None = None) -> Self:
        """What `fields` make; `path` is where they were read, if anywhere.

        Raises:
            UserError: all faults of the fields, with file and line where they are known.
        """
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            lines = line_of(path) if path else {}
            raise UserError(explain_faults(error, cls, path, lines)) from None

    def write(self, path: str | Path) -> None:
        """Write YAML that `read` gives back unchanged."""
        fields = self.model_dump(mode="json", exclude_defaults=True)
        text = yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=100)
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
