#!/usr/bin/env bash
# Intel Neural Compressor 2: the loss type "KL" distils k times more weakly than "CE", k the number of classes.
#
# Expected: cross-entropy and divergence differ by the teacher's entropy, which no student changes, so that loss types
# ["CE", "CE"] and ["CE", "KL"] train alike: the gradients are the same.
# Seen: "CE" sums over the classes and means over the examples; "KL" is torch's kl_div at its default, which means
# over both, against which torch itself warns. At 1,000 classes the teacher has a thousandth of its weight.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --no-compile neural-compressor==2.6 six "setuptools<81" torch==2.13.0
"$folder/env/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import torch
from neural_compressor.compression.distillation.criterions import PyTorchKnowledgeDistillationLoss

print("neural-compressor", version("neural-compressor"))
for k in (10, 1000):
    draws = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(64, k, generator=draws) for _ in range(2))
    pulls = []
    for kind in ("CE", "KL"):
        leaf = student.clone().requires_grad_()
        loss = PyTorchKnowledgeDistillationLoss(2.0, ["CE", kind], [0.0, 1.0])
        loss.loss_cal_sloss(leaf, teacher, 0.0).backward()
        pulls.append(leaf.grad)
    ratio = float(pulls[0].norm() / pulls[1].norm())
    apart = float((pulls[0] / pulls[0].norm() - pulls[1] / pulls[1].norm()).norm())
    print(f"{k} classes: the gradient of CE is {ratio:.1f} times that of KL; directions differ by {apart:.0e}")
    assert abs(ratio / k - 1) < 1e-2 and apart < 1e-4, "the two are no longer apart by the number of classes"
PYTHON
