"""What searching a slide waits for before it begins."""

from __future__ import annotations

import json
import subprocess
import sys

SLOW = ("torchvision", "torch._dynamo", "scipy.stats", "matplotlib.pyplot", "mlflow", "lightning")


def test_a_search_imports_nothing_slow_that_it_does_not_use():
    code = f"""
import json, sys, transfer_kit.inference.predict
print(json.dumps([name for name in {SLOW} if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert json.loads(done.stdout) == []
