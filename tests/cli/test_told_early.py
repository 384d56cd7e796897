"""What is told before PyTorch is imported, which takes seconds."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import sys
from transfer_kit.cli.finetune import finetune
from transfer_kit.errors import UserError
try:
    finetune(base={base!r}, target={target!r})
except UserError as error:
    print(error)
sys.exit("torch" in sys.modules)
"""


@pytest.mark.parametrize(
    ("base", "target", "told"),
    [("brest", "eye", "base organ or model 'brest'"), ("breast", "eey", "'eey'")],
)
def test_a_mistyped_name_is_told_before_pytorch_is_imported(base, target, told):
    code = CODE.format(base=base, target=target)
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert told in done.stdout
