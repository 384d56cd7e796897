from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from transfer_kit.errors import UserError
from transfer_kit.settings import TrainSettings
from transfer_kit.training.batches import RoundSampler
from transfer_kit.training.launch import Group, group, refuse_misfit, refuse_uneven
from transfer_kit.training.synced_batch_norm import (
    SyncedBatchNorm2d,
    part_batch_norms,
    sync_batch_norms,
)

HERE = Path(__file__).parent


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def run_in_processes(count, script, *arguments):
    """The script in as many processes as torchrun would begin, with what it would tell them."""
    told = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)]),
        "OMP_NUM_THREADS": "1",
    }
    if count > 1:
        told |= {
            "TORCHELASTIC_RUN_ID": "test",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(free_port()),
            "WORLD_SIZE": str(count),
            "LOCAL_WORLD_SIZE": str(count),
        }
    begun = [
        subprocess.Popen(
            [sys.executable, *script, *map(str, arguments)],
            env={**told, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    for one in begun:
        _, said = one.communicate(timeout=300)
        assert one.returncode == 0, said


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What one process found, and each of two."""
    folder = tmp_path_factory.mktemp("together")
    for count in (1, 2):
        (folder / str(count)).mkdir()
        run_in_processes(count, [str(HERE / "together.py")], folder / str(count))
    return [
        json.loads((folder / where).read_text())
        for where in ("1/found0.json", "2/found0.json", "2/found1.json")
    ]


@pytest.mark.parametrize("case", ["plain", "unfreezing", "mixed"])
def test_two_processes_learn_as_one_does(found, case):
    alone, leader, _ = (each[case] for each in found)
    assert [point["step"] for point in leader] == [point["step"] for point in alone]
    for one, other in zip(alone, leader, strict=True):
        assert one.keys() == other.keys()
        for figure in one:
            assert other[figure] == pytest.approx(one[figure], abs=1e-4), figure


def test_the_losses_of_target_and_auxiliary_are_those_of_all_processes(found):
    assert {"train/loss_target", "train/loss_auxiliary"} <= found[1]["mixed"][-1].keys()


def test_all_processes_end_with_the_same_curves_and_weights(found):
    _, leader, follower = found
    assert follower == leader


def test_each_patch_of_a_round_is_drawn_by_exactly_one_process():
    train = TrainSettings(batch_size=12, validate_every=5)
    alone = list(RoundSampler(train, 10))
    shares = [list(RoundSampler(train, 10, process=n, processes=3)) for n in range(3)]
    assert sorted(number for share in shares for number in share) == alone
    # and every step has the same patches, whoever draws them
    dealt = np.array(shares).reshape(3, 5, 4)
    assert dealt.transpose(1, 0, 2).ravel().tolist() == alone


SYNCED = """
import sys, torch, torch.distributed as dist
from torch import nn
from transfer_kit.training import processes
from transfer_kit.training.launch import group
from transfer_kit.training.synced_batch_norm import sync_batch_norms
processes.join(group().environment)
norm = torch.load(sys.argv[1], weights_only=False)
images = torch.load(sys.argv[2])
half = len(images) // 2
own = images[processes.rank() * half :][:half].clone().requires_grad_()
sync_batch_norms(norm)
(norm(own) ** 3).sum().backward()
torch.save((own.grad, norm.weight.grad, norm.running_mean, norm.running_var),
           f"{sys.argv[3]}/{processes.rank()}.pt")
processes.leave()
"""


def test_a_synced_batch_norm_is_torchs_own_over_the_joined_batch(tmp_path):
    norm = nn.BatchNorm2d(3, momentum=0.3)
    nn.init.uniform_(norm.weight, 0.5, 2)
    images = torch.randn(4, 3, 5, 6) * torch.tensor([1.0, 5.0, 0.5])[:, None, None] + 7
    torch.save(norm, tmp_path / "norm.pt")
    torch.save(images, tmp_path / "images.pt")
    files = [tmp_path / "norm.pt", tmp_path / "images.pt", tmp_path]
    run_in_processes(2, ["-c", SYNCED], *files)

    joined = images.clone().requires_grad_()
    (norm(joined) ** 3).sum().backward()
    (ahead, weight0, mean, variance), (behind, weight1, *_) = (
        torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)
    )
    torch.testing.assert_close(torch.cat([ahead, behind]), joined.grad, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(weight0 + weight1, norm.weight.grad, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(mean, norm.running_mean)
    torch.testing.assert_close(variance, norm.running_var)


def test_syncing_keeps_names_and_weights_and_can_be_undone():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    before = network.state_dict()
    sync_batch_norms(network)
    assert type(network[1]) is SyncedBatchNorm2d
    assert network.state_dict().keys() == before.keys()
    part_batch_norms(network)
    assert type(network[1]) is nn.BatchNorm2d


def test_a_batch_norm_of_another_kind_is_refused():
    with pytest.raises(UserError, match=r"BatchNorm3d.*train.batch_norm: frozen"):
        sync_batch_norms(nn.BatchNorm3d(2))


class Begun:
    """As much of a cluster environment as is asked for."""

    def local_rank(self):
        return 0


@pytest.mark.parametrize(
    ("began", "devices", "nodes", "kind", "said"),
    [
        (None, 4, 2, "cpu", r"--nodes 2: .*srun --nodes=2 --ntasks-per-node=4"),
        (Group(Begun(), 3, 1), 2, None, "cpu", "3 processes were begun, .* say 2"),
        (None, 2, None, "cuda:1", "cuda:1 is a single device"),
        (None, 2, None, "mps", "mps is a single device"),
        (None, 99, None, "auto", r"--devices 99: this machine has \d+ GPU.*--device cpu"),
    ],
)
def test_devices_that_are_not_there_are_refused(began, devices, nodes, kind, said):
    with pytest.raises(UserError, match=said):
        refuse_misfit(began, devices, nodes, kind)


def test_a_step_that_cannot_be_dealt_out_evenly_is_refused():
    refuse_uneven(TrainSettings(batch_size=8, accumulate=2), 4)
    with pytest.raises(UserError, match=r"4 crops a step .* 3 devices; choose a multiple of 3"):
        refuse_uneven(TrainSettings(batch_size=4), 3)
    with pytest.raises(UserError, match="4 devices in 2 parts each; choose a multiple of 8"):
        refuse_uneven(TrainSettings(batch_size=4, accumulate=2), 4)


def slurm(monkeypatch, **values):
    for name in [name for name in os.environ if name.startswith(("SLURM_", "TORCHELASTIC_"))]:
        monkeypatch.delenv(name)
    for name, value in values.items():
        monkeypatch.setenv(name, str(value))


def test_a_step_of_slurm_is_a_group_and_its_batch_script_is_not(monkeypatch):
    job = {"SLURM_JOB_ID": 71234, "SLURM_NTASKS": 8, "SLURM_NNODES": 2}
    job |= {"SLURM_NODELIST": "gpu[7-8]", "SLURM_PROCID": 5, "SLURM_LOCALID": 1}
    job |= {"SLURM_NTASKS_PER_NODE": 4}
    slurm(monkeypatch, **job)
    assert group() is None
    slurm(monkeypatch, **job, SLURM_STEP_ID=0)
    began = group()
    assert (began.n_processes, began.n_nodes, began.own_device) == (8, 2, "cuda:1")
    assert (began.environment.global_rank(), began.environment.main_address) == (5, "gpu7")


def test_tasks_that_are_not_told_by_machine_are_refused(monkeypatch):
    slurm(monkeypatch, SLURM_STEP_ID=0, SLURM_NTASKS=2)
    with pytest.raises(UserError, match="give srun --ntasks-per-node"):
        group()


def test_a_single_task_of_slurm_is_no_group(monkeypatch):
    slurm(monkeypatch, SLURM_STEP_ID=0, SLURM_NTASKS=1)
    assert group() is None


def test_each_part_of_a_step_has_its_own_dropout(monkeypatch):
    from toy import toy_detector

    from transfer_kit.training.module import DetectorModule

    module = DetectorModule(toy_detector(), TrainSettings(), seed=3)
    monkeypatch.setattr(DetectorModule, "step", 5)
    seeds = [module._seed_of(part) for part in range(8)]
    assert len(set(seeds)) == 8
    assert seeds[0] == (3 << 32) + 5  # as it was before steps had parts
    for seed in seeds:
        torch.manual_seed(seed)
