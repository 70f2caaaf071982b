#!/usr/bin/env bash
# torch.linalg.lstsq, by its default driver, begins from memory as it happens to be: of a matrix with fewer ranks than
# columns the solution is wrong or right by what was solved before, and so is the rank, without a word.
#
# Expected: features of which one unit is dead, a column of zeros, have one least-squares solution of least norm, and
# a driver that tells the rank, as "gelsy" does, the default on CPUs, finds it whatever else is solved beside it.
# Seen: in a batch behind features without a dead unit the rank is 0 and the solution zero, a "best" linear map that
# predicts nothing. With "gelsd" it is right. A single call begins likewise from what its memory held: it may come out
# either way, and differ in the last digits from the same call before.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --no-compile torch==2.13.0 numpy==2.4.6
"$folder/env/bin/python" -W ignore - <<'PYTHON'
import numpy as np
import torch

generator = torch.Generator().manual_seed(0)
alive = torch.randn(30, 4, dtype=torch.float64, generator=generator)
dead = alive.clone()
dead[:, 0] = 0
wanted = torch.randn(30, 2, dtype=torch.float64, generator=generator)
truth = torch.from_numpy(np.linalg.lstsq(dead.numpy(), wanted.numpy(), rcond=None)[0])


def behind(driver):
    """The dead layer's solution and rank as the second of a batch."""
    found = torch.linalg.lstsq(torch.stack([alive, dead]), torch.stack([wanted, wanted]), driver=driver)
    return found.solution[1], int(found.rank[1])


print("torch", torch.__version__)
for driver in (None, "gelsd"):
    solution, rank = behind(driver)
    print(f"driver {driver}: rank {rank} of 3, off by {float((solution - truth).abs().max()):.3g}")
solution, rank = behind("gelsd")
assert rank == 3 and float((solution - truth).abs().max()) < 1e-12
solution, rank = behind(None)
assert rank == 0 and not solution.any(), "the default driver is right in a batch now"
PYTHON
