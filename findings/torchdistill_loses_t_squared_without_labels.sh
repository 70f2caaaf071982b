#!/usr/bin/env bash
# torchdistill's KDLoss drops T^2, and beta, when the weight of the labels is exactly 0.
#
# Expected: the docstring's formula, L = alpha CE + (1 - alpha) tau^2 KL, at alpha = 0: tau^2 KL, the limit of small
# alpha. Pure distillation is the usual setting on unlabelled data.
# Seen: at alpha = 0, and where no labels are given, it returns KL alone: at tau = 4 a sixteenth, so that
# sweeping alpha down to 0, or leaving the labels out, also divides the learning rate by 16.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --no-compile torchdistill==1.1.5 torch==2.13.0
"$folder/env/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import torch
from torchdistill.losses.mid_level import KDLoss

draws = torch.Generator().manual_seed(0)
student, teacher = (torch.randn(64, 10, generator=draws) for _ in range(2))
labels = torch.randint(10, (64,), generator=draws)
said, heard = ({"fc": {"output": logits}} for logits in (student, teacher))
print("torchdistill", version("torchdistill"))
found = {}
for alpha in (0.1, 0.01, 0.0001, 0.0):
    loss = KDLoss("fc", "output", "fc", "output", temperature=4.0, alpha=alpha)
    found[alpha] = float(loss(said, heard, labels))
    print(f"alpha = {alpha}: {found[alpha]:.5f}")
assert abs(found[0.0001] / found[0.0] - 16) < 0.1, "the loss no longer jumps by T^2"
PYTHON
