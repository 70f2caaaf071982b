#!/usr/bin/env bash
# torchcrepe's weighted_argmax gives pitches that jump in steps of 20 cents, and that differ from run to run.
#
# Expected: the average of the bins about the likeliest one, weighted by what the network says of each (Kim et al.
# 2018), is finer than the bins of 20 cents; with these networks, within a cent or two of a clean tone; and two runs
# of one program on one tone agree, or differ by noise that averages out over its frames.
# Seen: what the network says is a probability, and is put through a sigmoid once more, so that all nine weights lie
# between .5 and .73: the average stays near the middle of the bin. And the cents of the bins are dithered, once in a
# process: the noise is the same for all frames, so that all notes of a run are off together, otherwise in the next.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --no-compile torchcrepe==0.0.24 torch==2.13.0
cat > "$folder/tones.py" <<'PYTHON'
import sys
import types
from importlib.metadata import version

sys.modules["torchaudio"] = types.ModuleType("torchaudio")  # reads audio files, of which there are none here

import numpy as np
import torch
import torchcrepe

RATE, LOWEST = 16000, 1997.3794084376191  # cents above 10 Hz of the first bin
np.random.seed(int(sys.argv[1]))  # in place of the chance of a run
shifts, theirs, plain = np.arange(0, 20, 2.5), [], []
for shift in shifts:
    cents = LOWEST + 20 * 200 + shift
    times = 2 * np.pi * 10 * 2 ** (cents / 1200) * torch.arange(RATE // 2) / RATE
    audio = sum(torch.sin(h * times) / h for h in range(1, 6))[None]
    how = {"hop_length": 320, "model": "tiny", "decoder": torchcrepe.decode.weighted_argmax}
    pitch = torchcrepe.predict(audio, RATE, fmin=50, fmax=2000, device="cpu", **how)
    theirs.append(float((1200 * torch.log2(pitch[0, 3:-3] / 10)).mean()) - cents)
    frames = next(torchcrepe.preprocess(audio, RATE, 320, None, "cpu"))
    probs = torchcrepe.infer(frames, "tiny").detach()[3:-3]
    bins = probs.argmax(1, keepdim=True) + torch.arange(-4, 5)
    weights = probs.gather(1, bins)
    plain.append(float(((weights * (LOWEST + 20 * bins)).sum(1) / weights.sum(1)).mean()) - cents)
print("torchcrepe", version("torchcrepe"), "- cents off, of tones that are 2.5 cents apart")
print("  weighted_argmax:", " ".join(f"{value:+.1f}" for value in theirs))
print("  weighted average:", " ".join(f"{value:+.1f}" for value in plain))
assert np.abs(plain).max() < 2.5, "the network is not as fine as that"
assert np.std(theirs) > 3, "the average is finer than the bins now"
np.save(sys.argv[2], theirs)
PYTHON
for run in 0 1; do "$folder/env/bin/python" -W ignore "$folder/tones.py" "$run" "$folder/$run.npy"; done
"$folder/env/bin/python" -W ignore - "$folder" <<'PYTHON'
import sys

import numpy as np

first, second = (np.load(f"{sys.argv[1]}/{run}.npy") for run in (0, 1))
print(f"one run against the other: {np.mean(first - second):+.1f} cents, at all tones")
assert abs(np.mean(first - second)) > 1.5, "two runs agree now"
PYTHON
