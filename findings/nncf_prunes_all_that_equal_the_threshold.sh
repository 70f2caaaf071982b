#!/usr/bin/env bash
# nncf.prune takes every weight that is as large as the last one it needs: quantised networks lose many more, or all.
#
# Expected: ratio is the share of parameters that are pruned; of equal magnitudes as many go as it takes, whichever
# they are. Half of 4,096 weights are 2,048.
# Seen: weights above the threshold stay, and none that equal it. Of weights that were rounded to 15 levels (four bits)
# 0.5 prunes 0.63, of ternary ones -a, 0, a all of them, and a layer of zeros answers alike to everything. The same
# ratio on weights that are all different prunes half.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --no-compile nncf==3.4.0 torch==2.13.0
"$folder/env/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import nncf
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.layer = nn.Linear(64, 64, bias=False)
        self.layer.weight = nn.Parameter(weight)

    def forward(self, x):
        return self.layer(x)


def pruned(weight, mode):
    net = nncf.prune(Net(weight), mode, ratio=0.5, examples_inputs=torch.ones(1, 64))
    return nncf.pruning_statistic(net).pruning_ratio


print("nncf", version("nncf"))
weight = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
step = weight.abs().max() / 7
kinds = {
    "as drawn": (weight, 0.49, 0.51),
    "of four bits": ((weight / step).round() * step, 0.55, 0.75),
    "ternary": (weight.sign() * (weight.abs() > 0.5), 1.0, 1.0),
}
for name, (weight, least, most) in kinds.items():
    for mode in (nncf.PruneMode.UNSTRUCTURED_MAGNITUDE_LOCAL, nncf.PruneMode.UNSTRUCTURED_MAGNITUDE_GLOBAL):
        seen = pruned(weight, mode)
        print(f"{name}, {mode.value}: {seen:.3f} of the weights are pruned, of 0.500 asked for")
        assert least <= seen <= most, "it prunes otherwise now"
PYTHON
