#!/usr/bin/env bash
# torch-pruning keeps one channel too few, or prunes nothing at all, where 1 - ratio is rounded.
#
# Expected: pruning_ratio is the share of channels that go: 0.8 of 10 leaves 2, 0.9 of 10 leaves 1, 0.9 of 320 leaves
# 32 and of 160 leaves 16, all of them whole numbers.
# Seen: 1, 10, 31 and 15. The number that stays is cut off after n * (1 - ratio) in floating point, where
# 10 * (1 - 0.9) is 0.9999999999999998; and where none would stay, the layer is left as it is without a word, a ratio
# of nine tenths prunes nothing. 31 and 15 channels are no multiples of 8 any more, which kernels want.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --no-compile torch-pruning==1.6.1 torch==2.13.0
"$folder/env/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import torch
import torch_pruning as tp
from torch import nn

print("torch-pruning", version("torch-pruning"))
for channels, ratio, expected, rounded in ((10, 0.8, 2, 1), (10, 0.9, 1, 10), (320, 0.9, 32, 31), (160, 0.9, 16, 15)):
    net = nn.Sequential(nn.Conv2d(3, channels, 3), nn.ReLU(), nn.Conv2d(channels, 4, 1))
    scores = tp.importance.MagnitudeImportance(p=2)
    pruner = tp.pruner.BasePruner(
        net, torch.randn(1, 3, 8, 8), scores, pruning_ratio=ratio, ignored_layers=[net[2]]
    )
    pruner.step()
    seen = net[0].out_channels
    print(f"{ratio:g} of {channels} channels: {seen} stay, {expected} should")
    assert seen == rounded, "it rounds otherwise now"
PYTHON
