#!/usr/bin/env bash
# torchdistill's SPKDLoss divides rows of similarities by the sum of their magnitudes, not by their length.
#
# Expected: by Tung and Mori (2019), whom it cites, rows of the b x b matrix of inner products are divided by their
# Euclidean length, and the loss is the squared Frobenius distance over b^2.
# Seen: another loss: the second argument of torch's normalize is the order of the norm, and is 1. It is smaller by
# nearly the number of examples in the batch, of 64 by 52, so that the weight of the paper, 3,000, pulls like 60, and
# it is weaker the larger the batch.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --no-compile torchdistill==1.1.5 torch==2.13.0
"$folder/env/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import torch
from torchdistill.losses.mid_level import SPKDLoss


def published(student, teacher):
    one, other = (rows @ rows.T for rows in (student, teacher))
    one, other = (rows / rows.norm(dim=1, keepdim=True) for rows in (one, other))
    return float((one - other).square().sum() / len(student) ** 2)


print("torchdistill", version("torchdistill"))
draws = torch.Generator().manual_seed(0)
loss = SPKDLoss(student_output_path="layer", teacher_output_path="layer", reduction="batchmean")
for examples in (16, 64, 256):
    # Features after a ReLU, as of a layer before the last.
    student, teacher = (torch.randn(examples, width, generator=draws).relu() for width in (32, 64))
    seen = float(loss({"layer": {"output": student}}, {"layer": {"output": teacher}}))
    expected = published(student, teacher)
    print(f"{examples} examples: {seen:.3g}, by the paper {expected:.3g}, {expected / seen:.0f} times as much")
    assert expected > examples / 4 * seen, "rows are divided by their length now"
PYTHON
