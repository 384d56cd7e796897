"""What searching and measuring wait for before they begin."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SLOW = ("torchvision", "torch._dynamo", "scipy.stats", "matplotlib.pyplot", "mlflow", "lightning")


@pytest.mark.parametrize("what", ["transfer_kit.inference.predict", "transfer_kit.cli.tell"])
def test_what_trains_nothing_imports_nothing_slow_that_it_does_not_use(what):
    code = f"""
import json, sys, {what}
print(json.dumps([name for name in {SLOW} if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert json.loads(done.stdout) == []
