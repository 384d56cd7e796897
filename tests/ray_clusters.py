"""A Ray cluster of several machines, all of them processes of this one."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


@contextmanager
def ray_cluster(*, lost_after_seconds: float = 1.5):
    """A head without room for tasks; `add_node` of what is given adds machines.

    A machine without a sign of life for so long counts as lost.
    """
    from ray.cluster_utils import Cluster

    # Other machines find the tests' modules as they find the package: because it is installed.
    told = {
        "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]),
        "RAY_health_check_period_ms": "500",
        "RAY_health_check_failure_threshold": str(round(lost_after_seconds / 0.5)),
        "RAY_worker_niceness": "0",  # beside other tests, Ray's own 15 is hardly ever their turn
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in told.items():
            patch.setenv(name, value)
        made = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "include_dashboard": False},
        )
        try:
            yield made
        finally:
            made.shutdown()
