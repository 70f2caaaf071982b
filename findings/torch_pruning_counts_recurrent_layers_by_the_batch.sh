#!/usr/bin/env bash
# torch-pruning counts fewer operations for a recurrent layer the more examples, or steps, it is shown.
#
# Expected: count_ops_and_params gives the operations of one example, whatever the size of the batch; those of a GRU
# or LSTM grow in proportion to the length of the sequence, one matrix product a gate and step: 5 and 50 steps of
# a GRU from 8 to 16 units take 5,760 and 57,600 multiplications.
# Seen: with batch_first=True four times the examples give a quarter of the operations; in torch's default layout
# ten times the steps give a tenth. A speed-up that is read off these numbers compares nothing but shapes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --no-compile torch-pruning==1.6.1 torch==2.13.0
"$folder/env/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import torch
from torch import nn
from torch_pruning.utils import count_ops_and_params


def count(steps, examples, *, first):
    shape = (examples, steps, 8) if first else (steps, examples, 8)
    return count_ops_and_params(nn.GRU(8, 16, batch_first=first), torch.randn(shape))[0]


print("torch-pruning", version("torch-pruning"))
for first in (True, False):
    for steps, examples in ((5, 1), (50, 1), (50, 4)):
        print(f"batch_first={first}, {steps} steps, {examples} examples: {count(steps, examples, first=first):.1f}")
assert abs(count(50, 1, first=True) / count(50, 4, first=True) - 4) < 1e-6, "the batch no longer counts"
assert abs(count(5, 1, first=False) / count(50, 1, first=False) - 10) < 1e-6, "length is counted now"
PYTHON
