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
first = 71 + len({job.name.split("_")[0] for job in state.glob("7*")})
array = re.search(r"--array=0-(\\d+)", text)
jobs = [f"{first}_{number}" for number in range(int(array[1]) + 1)] if array else [str(first)]
for number, job in enumerate(jobs):
    told = {"SLURM_JOB_ID": str(100 * first + number if array else first),
            "SLURM_NTASKS": "1", "SLURM_PROCID": "0",
            "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_JOB_NUM_NODES": "1",
            "SLURM_JOB_NODELIST": "localhost"}
    if array:
        told |= {"SLURM_ARRAY_JOB_ID": str(first), "SLURM_ARRAY_TASK_ID": str(number)}
    line = f"echo RUNNING > {state}/{job}; bash {script}; " \\
           f"if [ $? = 0 ]; then echo COMPLETED; else echo FAILED; fi > {state}/{job}"
    subprocess.Popen(["bash", "-c", line], env={**os.environ, **told}, start_new_session=True,
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(f"Submitted batch job {first}")
"""
SACCT = """
import os
from pathlib import Path

print("JobID|State|NodeList")
for path in sorted(Path(os.environ["FAKE_SLURM"]).glob("7*")):
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
