"""Trainings of the toy detector, alone or in the process of several that began this.

    python together.py FOLDER

writes FOLDER/found.json: the curve of each case, and the last weights of the first.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from toy import toy_detector, toy_recipe, toy_samples

from transfer_kit.training import processes
from transfer_kit.training.launch import group
from transfer_kit.training.train import train
from transfer_kit.transfer.mixing import AuxiliarySource

CASES = {
    "plain": {},
    "unfreezing": {"base": "breast", "freeze": {0: 8, 3: 2}},
    "mixed": {"auxiliary.sources": ["other"], "auxiliary.gamma": 3.0},
}


def trained(folder: Path, fields: dict, *, images: int = 4):
    """Four steps of four crops, without dropout, whose values belong to a process."""
    recipe = toy_recipe(**{"train.steps": 4, "train.validate_every": 2}).replaced(**fields)
    detector = toy_detector(network={"name": "micronet", "options": {"width": 4, "dropout": 0.0}})
    samples = toy_samples(images + 2)
    mixed = [AuxiliarySource("other", tuple(samples[:2]))] if recipe.auxiliary.sources else []
    return train(detector, samples[2:images], samples[-1:], recipe, folder=folder, auxiliary=mixed)


def main() -> None:
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    began = group()
    if began is not None:
        processes.join(began.environment)
    found: dict = {}
    for name, fields in CASES.items():
        done = trained(folder / name, fields)
        found[name] = list(done.curve)
        if name == "plain":
            found["weights"] = {
                key: value.double().sum().item()
                for key, value in done.detector.network.state_dict().items()
            }
    # Each process says what it has; one of two that differ would be found out.
    own = folder / f"found{processes.rank()}.json"
    own.write_text(json.dumps(found))
    processes.leave()


if __name__ == "__main__":
    main()
