#!/usr/bin/env bash
# netcal's calibration errors lose float32 confidences that lie on the edge of a bin, such as 0.7 and 0.9.
#
# Expected: where every prediction has one confidence c and a share a of them is right, the expected calibration error
# is |c - a|, whatever the bins and the precision: 0.1 at c = 0.7 and 0.3 at c = 0.9 with a = 0.6.
# Seen: in float64 it is. In float32, what networks give, 0.7 and 0.9 with ten bins give 0: numpy counts the points in
# one bin, where scipy takes their mean it is the next one, and both fall out. Confidences in tenths are usual, from
# models that are asked for one, from votes of ten and from histogram binning. Beside other points the error comes out
# too large as well as too small: 0.7 and 0.65 together, 0.1 by the definition, give 0.3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --no-compile netcal==1.4.0 numpy==2.4.6 scipy==1.17.1 torch==2.13.0
"$folder/env/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import numpy as np
from netcal.metrics import ECE


def error(groups, kind):
    """Of groups of (confidence, right of 20): class 1 of five is the likeliest, and the label where it is right."""
    rows, labels = [], []
    for confidence, right in groups:
        row = np.full(5, (1 - confidence) / 4)
        row[1] = confidence
        rows += [row] * 20
        labels += [1] * right + [2, 3] * ((20 - right) // 2) + [4] * ((20 - right) % 2)
    return ECE(bins=10).measure(np.array(rows, dtype=kind), np.array(labels))


print("netcal", version("netcal"))
for groups, expected in (([(0.7, 12)], 0.1), ([(0.9, 12)], 0.3), ([(0.7, 12), (0.65, 19)], 0.1)):
    seen = {kind.__name__: error(groups, kind) for kind in (np.float64, np.float32)}
    print(f"{groups}: {seen}, by the definition {expected}")
    assert abs(seen["float64"] - expected) < 1e-6, "in float64 it is the definition no more"
    assert abs(seen["float32"] - expected) > 0.05, "float32 confidences on an edge count now"
PYTHON
