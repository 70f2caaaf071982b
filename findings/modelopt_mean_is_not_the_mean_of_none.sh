#!/usr/bin/env bash
# nvidia-modelopt's LogitsDistillationLoss is larger by the number of classes as soon as it is reduced by hand.
#
# Expected: the docstring says to pass reduction="none" "to use your own reduction function afterwards, i.e. with
# loss masks". A mask of ones and a mean should then give what the default, reduction="mean", gives.
# Seen: "mean" is that of torch's kl_div, over examples and classes; "none" has summed over the classes first. With
# k classes the one is k times the other, and k is a vocabulary: whoever adds a mask multiplies the weight of
# the distillation by 32,000 or so, and whoever keeps the default divides it, against Hinton et al. (2015).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --no-compile nvidia-modelopt==0.47.0 huggingface_hub requests torch==2.13.0
"$folder/env/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import torch
from modelopt.torch.distill.losses import LogitsDistillationLoss

print("nvidia-modelopt", version("nvidia-modelopt"))
for k in (10, 1000):
    draws = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(64, k, generator=draws) for _ in range(2))
    default = float(LogitsDistillationLoss(temperature=2.0)(student, teacher))
    by_hand = float(LogitsDistillationLoss(temperature=2.0, reduction="none")(student, teacher).mean())
    print(f"{k} classes: default {default:.6f}, mean of none {by_hand:.6f}, ratio {by_hand / default:.1f}")
    assert abs(by_hand / default / k - 1) < 1e-3, "the ratio is no longer the number of classes"
PYTHON
