"""Recipe fields of the loop."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from transfer_kit.settings.base import NotNegative, Positive, Settings

WantedPrecision = Literal["auto", "32-true", "16-mixed", "bf16-mixed"]
"""In how many bits a network computes; `auto` leaves it to the device."""


class OptimizerSettings(Settings):
    """What moves the weights."""

    name: Literal["adamw", "adam", "sgd"] = Field("adamw", description="The optimizer")
    learning_rate: Positive = Field(2e-3, description="Highest learning rate of the schedule")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.9, description="Of sgd")
    nesterov: bool = Field(True, description="Whether sgd's momentum is Nesterov's (paper 002)")
    weight_decay: NotNegative = Field(1e-4, description="Pull of the weights towards zero")
    block_decay: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0,
        description="Factor on the learning rate with each block from the last towards the input; "
        "1 is one rate for all",
    )


class ScheduleSettings(Settings):
    """How the learning rate moves."""

    name: Literal["one_cycle", "plateau", "decay", "constant"] = Field(
        "one_cycle",
        description="one_cycle warms up and anneals to nothing over all steps; plateau divides by "
        "ten while validation F1 (the classes', or AJI of whole nuclei) does not rise (paper 002); "
        "decay multiplies by a factor at regular steps (papers 000 and 003)",
    )
    warm_up: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.15, description="Part of one_cycle that warms up"
    )
    patience_steps: Annotated[int, Field(ge=1)] = Field(
        10_000, description="Steps that plateau waits"
    )
    stop_below: NotNegative = Field(
        1e-4, description="Learning rate at which plateau ends the training"
    )
    decay_every: Annotated[int, Field(ge=1)] = Field(
        10_000, description="Steps between the multiplications of decay"
    )
    decay_factor: Annotated[float, Field(gt=0, le=1)] = Field(
        0.1, description="What decay multiplies by"
    )


class AdapterSettings(Settings):
    """Low-rank adapters beside frozen weights, merged into them at the end (LoRA)."""

    rank: Annotated[int, Field(ge=0)] = Field(
        0,
        description="Rank of the adapters of convolutions and linear layers, the only things that "
        "learn then; 0 is no adapters (others need a base and the extra [adapters])",
    )
    alpha: Positive = Field(16.0, description="What an adapter adds is multiplied by alpha / rank")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="Share of an adapter's inputs that each step leaves out"
    )
    norms: bool = Field(
        False, description="Whether normalisations learn too, and follow train.batch_norm"
    )
    last_block: bool = Field(True, description="Whether the last block learns whole, too")


class TrainSettings(Settings):
    """The loop."""

    steps: Annotated[int, Field(ge=1)] = Field(300, description="Steps of the optimizer")
    batch_size: Annotated[int, Field(ge=1)] = Field(
        4, description="Crops in a step, of all devices together"
    )
    accumulate: Annotated[int, Field(ge=1)] = Field(
        1,
        description="Parts that a step's crops are computed in, one after the other, to need less "
        "memory; must divide batch_size. Batch norms that learn see one part at a time",
    )
    optimizer: OptimizerSettings = OptimizerSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    validate_every: Annotated[int, Field(ge=1)] = Field(
        50,
        description="Steps between validations; the best weights by validation F1 (of the classes "
        "where there are several, or AJI of whole nuclei) are kept",
    )
    early_stopping_steps: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Stop after this many steps without a better validation F1, or AJI"
    )
    gradient_clip: Positive | None = Field(1.0, description="Largest norm of the gradient")
    batch_norm: Literal["train", "frozen", "recalibrate"] = Field(
        "train",
        description="Whether the statistics of batch norms of blocks that learn follow the crops, "
        "stay the base's, or are recomputed on the training images before the training and stay "
        "so (frozen and recalibrate need a base)",
    )
    l2_sp: NotNegative = Field(
        0.0,
        description="Pull of the weights towards the base's, in place of weight decay: the loss "
        "gets l2_sp / 2 times their squared distance (needs a base)",
    )
    adapter: AdapterSettings = AdapterSettings()
    cache_features: bool = Field(
        False,
        description="Whether what frozen first blocks make of a crop is computed once and kept, up "
        "to 2 GiB in RAM or half of a GPU's free memory; crops must lie on a grid and at most be "
        "mirrored or turned by quarters",
    )
    precision: WantedPrecision = Field(
        "auto",
        description="auto: bf16-mixed on GPUs that have it and 16-mixed on others; on a CPU with "
        "instructions for it (AVX-512 BF16, AMX) bf16-mixed, on others 32-true",
    )
    channels_last: bool = Field(
        True, description="Whether maps lie in memory pixel by pixel, which convolutions prefer"
    )
    compile: bool = Field(
        False,
        description="Whether torch.compile translates the network first, which takes a minute and "
        "pays in long trainings",
    )
    workers: Annotated[int, Field(ge=0)] = Field(
        0, description="Processes that draw crops; 0 draws them between steps"
    )

    @model_validator(mode="after")
    def _divides(self) -> TrainSettings:
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"accumulate: {self.batch_size} crops cannot be computed in {self.accumulate} "
                "parts of equal size; choose a divisor of batch_size"
            )
        return self
