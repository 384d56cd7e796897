"""Pair: a base and a target that belong together, as a validated YAML. Knows no torch."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    Field,
    ValidationInfo,
    field_validator,
)

from transfer_kit.errors import nearest_hint
from transfer_kit.yaml_model import YamlModel

Mpp = Annotated[float, Field(gt=0, le=20, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1)]


class Pair(YamlModel):
    """What is adapted to what, and with the help of what.

    Example:
        >>> Pair(base="breast", target="eye", auxiliary=["kidney"]).sources
        ('eye', 'kidney')
    """

    name: Annotated[str, Field(pattern=r"^([\w][\w.+-]*)?$")] = Field(
        "", description="What the pair is called; empty where it was not given a name"
    )
    description: str = Field("", description="For people")
    base: Name = Field(
        description="A model name, an organ (its everyday detector), a file, or none to start from "
        "scratch"
    )
    target: Name = Field(description="An organ, a dataset name or a folder")
    auxiliary: tuple[Name, ...] = Field(
        (), description="Organs, dataset names or folders to learn from beside the target"
    )
    classes: dict[str, dict[str, str]] = Field(
        {},
        description="By source: its names of classes, and what they are called here; '' leaves a "
        "nucleus without a class, and names that are not listed stay",
    )
    mpp: dict[str, Mpp] = Field(
        {}, description="By source: µm per pixel of all its images, where its card is wrong"
    )
    held_out: dict[str, tuple[str, ...]] = Field(
        {},
        description="By source: cases that nothing learns from; the target's are tested on, beside "
        "its test split",
    )

    @property
    def sources(self) -> tuple[str, ...]:
        """The target and the auxiliary sources, as they are named here."""
        return (self.target, *self.auxiliary)

    @property
    def title(self) -> str:
        """The name, or what is adapted to what."""
        return self.name or f"{self.base} → {self.target}"

    @field_validator("auxiliary")
    @classmethod
    def _other_than_the_target(
        cls, auxiliary: tuple[str, ...], info: ValidationInfo
    ) -> tuple[str, ...]:
        organs = [_organ(name) for name in auxiliary]
        if len(set(organs)) < len(organs):
            raise ValueError("should name each source once")
        if _organ(info.data.get("target", "")) in organs:
            raise ValueError(
                f"should not name the target {info.data['target']} itself, whose test cases would "
                "leak into the training"
            )
        return auxiliary

    @field_validator("classes", "mpp", "held_out")
    @classmethod
    def _of_sources(cls, tables: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if "target" not in info.data or "auxiliary" not in info.data:
            return tables  # what is wrong there is told already
        sources = (info.data["target"], *info.data["auxiliary"])
        for name in tables:
            if name not in sources:
                raise ValueError(
                    f"{name!r} should be the target or an auxiliary source "
                    f"({nearest_hint(name, sources).rstrip('.')})"
                )
        return tables


def _organ(name: str) -> str:
    """Embedded organs go by two names."""
    return name.strip().removesuffix("-synthetic")
