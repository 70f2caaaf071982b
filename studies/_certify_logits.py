"""One side of `benchmark_certify`: a package's `certify_logits`, once, in a process of its own.

Called as `python _certify_logits.py PACKAGE DATA.npz`, PACKAGE the folder that holds `kdtheory`; prints one
JSON object: the processor time of a call, what it holds at most beyond the data, and what it says. A call on
a few points goes before it, so that all is loaded and compiled.
"""

import json
import sys
import time
from pathlib import Path

from _process import memory_of

sys.path.insert(0, sys.argv[1])

import numpy as np
import torch

import kdtheory
from kdtheory.certify import certify_logits

FEW = 500

if Path(kdtheory.__file__).parents[1].resolve() != Path(sys.argv[1]).resolve():
    raise ValueError(f"kdtheory comes from {kdtheory.__file__}, not from {sys.argv[1]}")
torch.set_num_threads(1)
with np.load(sys.argv[2]) as arrays:
    data = {name: torch.from_numpy(array) for name, array in arrays.items()}


def certified(rows):
    some = {name: array[:rows] for name, array in data.items()}
    return certify_logits(some.pop("teacher"), some.pop("labels"), **some, fixed_in_advance=True)


def measured():
    start = time.process_time()
    found.append(certified(None))
    found.append(time.process_time() - start)


certified(FEW)
found = []
memory, _ = memory_of(measured)
certificates, seconds = found
line = certificates.best
told = {"seconds": seconds, "memory": memory, "line": certificates.best_line, "bound": line.value}
sys.stdout.write(json.dumps(told) + "\n")
