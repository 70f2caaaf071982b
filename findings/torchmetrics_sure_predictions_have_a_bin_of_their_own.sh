#!/usr/bin/env bash
# torchmetrics' calibration error puts predictions of confidence exactly 1 into a bin beside the n_bins asked for.
#
# Expected: with n_bins = 1 the expected calibration error (Naeini et al. 2015; Guo et al. 2017, bins that end with 1
# included) is |mean confidence - accuracy|, and with n_bins = 10 the confidences 0.95 and 1 share the last bin.
# Seen: 1.0 falls behind the last edge into one bin more. Confidences of exactly 1 are usual: a softmax in float32
# gives them from a gap of some 17 logits on. The error of an overconfident network then comes out otherwise than
# by the definition, here by a tenth, without a word.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --no-compile torchmetrics==1.9.0 torch==2.13.0
"$folder/env/bin/python" -W ignore - <<'PYTHON'
import torch
import torchmetrics
from torchmetrics.functional.classification import multiclass_calibration_error

logits = torch.tensor([[0.0, 3.0]] * 50 + [[0.0, 20.0]] * 50)
probs = logits.softmax(-1)
labels = torch.tensor([1] * 50 + [0] * 50)  # the fifty that are sure are wrong
confidence, right = probs.amax(-1), (probs.argmax(-1) == labels).float()
expected = float((confidence.mean() - right.mean()).abs())
print("torchmetrics", torchmetrics.__version__, "- confidences", confidence.unique().tolist())
for bins in (1, 10):
    seen = float(multiclass_calibration_error(probs, labels, num_classes=2, n_bins=bins, norm="l1"))
    print(f"{bins} bins: {seen:.4f}, by the definition {expected:.4f}")
    assert seen - expected > 0.02, "sure predictions are in the last bin now"
PYTHON
