"""Slurm's commands as far as submitit calls them: jobs are processes of this machine."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

SBATCH = """
import os, re, subprocess, sys
from pathlib import Path

state, script = Path(os.environ["FAKE_SLURM"]), Path(sys.argv[-1])
text = script.read_text()
(state / "submitted.sh").write_text(text)
if "--partition=full" in text:
    sys.exit("sbatch: error: invalid partition specified: full")
first, last = re.search(r"--array=(\\d+)-(\\d+)", text).groups()
for number in range(int(first), int(last) + 1):
    job = f"71_{number}"
    told = {"SLURM_JOB_ID": str(100 + number), "SLURM_ARRAY_JOB_ID": "71",
            "SLURM_ARRAY_TASK_ID": str(number), "SLURM_NTASKS": "1", "SLURM_PROCID": "0",
            "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_JOB_NUM_NODES": "1",
            "SLURM_JOB_NODELIST": "localhost"}
    line = f"echo RUNNING > {state}/{job}; bash {script}; " \\
           f"if [ $? = 0 ]; then echo COMPLETED; else echo FAILED; fi > {state}/{job}"
    subprocess.Popen(["bash", "-c", line], env={**os.environ, **told}, start_new_session=True,
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print("Submitted batch job 71")
"""
SACCT = """
import os
from pathlib import Path

print("JobID|State|NodeList")
for path in sorted(Path(os.environ["FAKE_SLURM"]).glob("71_*")):
    print(f"{path.name}|{path.read_text().strip()}|localhost")
"""
SRUN = """
import os, sys

words = sys.argv[1:]
while words[0].startswith("-"):
    takes_value = words.pop(0) in ("--output", "--error")
    if takes_value:
        words.pop(0)
os.execvp(words[0], words)
"""
SCANCEL = """
import os, sys
from pathlib import Path

with open(Path(os.environ["FAKE_SLURM"]) / "cancelled", "a") as file:
    file.write(" ".join(sys.argv[1:]) + "\\n")
"""


def install(folder: Path, monkeypatch) -> Path:
    """Put the commands on the path; gives the folder in which they remember things."""
    programs, state = folder / "bin", folder / "state"
    programs.mkdir()
    state.mkdir()
    commands = {"sbatch": SBATCH, "sacct": SACCT, "srun": SRUN, "scancel": SCANCEL}
    for name, text in commands.items():
        path = programs / name
        path.write_text(f"#!{sys.executable}\n{text}")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("FAKE_SLURM", str(state))
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    return state
