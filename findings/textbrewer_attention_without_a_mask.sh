#!/usr/bin/env bash
# TextBrewer's att_ce_loss and att_mse_loss leave out every negative attention score where no mask is given.
#
# Expected: by their documentation they are the cross-entropy of softmaxes, and the squared distance, of attention
# matrices, masked where a mask is given: without one as with a mask of ones, and with the cross-entropy least
# where the student's scores are the teacher's.
# Seen: scores of -0.001 and less count for nothing: the function takes them for masked positions. Attention scores
# before the softmax, which is what the functions ask for, are negative half of the time, so that the loss
# is another one, and at the teacher's own scores its gradient is not zero.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --no-compile textbrewer==0.2.1.post1 torch==2.13.0
"$folder/env/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import torch
from textbrewer.losses import att_ce_loss, att_mse_loss

draws = torch.Generator().manual_seed(0)
student, teacher = (torch.randn(2, 3, 8, 8, generator=draws) for _ in range(2))  # batch, heads, scores
ones = torch.ones(2, 8)
print("textbrewer", version("textbrewer"))
for loss in (att_ce_loss, att_mse_loss):
    bare, masked = float(loss(student, teacher)), float(loss(student, teacher, mask=ones))
    print(f"{loss.__name__}: {bare:.4f} without a mask, {masked:.4f} with a mask of ones")
    assert abs(bare - masked) > 0.1, "without a mask all scores count now"
slopes = []
for mask in (None, ones):
    leaf = teacher.clone().requires_grad_()
    att_ce_loss(leaf, teacher, mask=mask).backward()
    slopes.append(float(leaf.grad.abs().max()))
print(f"largest slope at the teacher's own scores: {slopes[0]:.4f}, with a mask of ones {slopes[1]:.1e}")
assert slopes[0] > 1e-4 and slopes[1] < 1e-6, "at the teacher's own scores nothing pulls now"
PYTHON
