#!/usr/bin/env bash
# torch.func's vmap(jacrev) of a network with PReLU is wrong, without a word, where as many examples are mapped as
# the network has outputs; for any other number of examples it raises an error.
#
# Expected: the Jacobian of each example's outputs in the parameters, as plain autograd and vmap(jacfwd) give it,
# whatever the number of examples; mapped Jacobians are how empirical tangent kernels and influence functions are made.
# Seen: with two outputs and two examples the entries in the slopes belong to other examples and outputs, and so the
# kernel; with three examples a RuntimeError about sizes. vmap(grad) of a scalar loss is right. A batch of ten
# examples of a network with ten classes is the case that says nothing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --no-compile torch==2.13.0 numpy==2.4.6
"$folder/env/bin/python" -W ignore - <<'PYTHON'
import torch
from torch import nn
from torch.func import functional_call, jacfwd, jacrev, vmap

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(4, 3), nn.PReLU(), nn.Linear(3, 2)).double()
named = {name: one.detach() for name, one in net.named_parameters()}


def outputs(parameters, row):
    return functional_call(net, parameters, (row[None],))[0]


def mapped(derivative, rows):
    parts = vmap(derivative(outputs), in_dims=(None, 0))(named, rows)
    return torch.cat([part.flatten(2) for part in parts.values()], 2)


def one_by_one(rows):
    each = [
        torch.cat([part.flatten() for part in torch.autograd.grad(output, list(net.parameters()), retain_graph=True)])
        for row in rows
        for output in net(row[None])[0]
    ]
    return torch.stack(each).unflatten(0, (len(rows), -1))


print("torch", torch.__version__)
rows = torch.randn(2, 4, dtype=torch.float64)
truth = one_by_one(rows)
for name, derivative in (("jacfwd", jacfwd), ("jacrev", jacrev)):
    print(f"2 examples, 2 outputs, {name}: off by {float((mapped(derivative, rows) - truth).abs().max()):.3g}")
assert float((mapped(jacfwd, rows) - truth).abs().max()) < 1e-12
assert float((mapped(jacrev, rows) - truth).abs().max()) > 1e-3, "mapped reverse Jacobians of PReLU are right now"
try:
    mapped(jacrev, torch.randn(3, 4, dtype=torch.float64))
except RuntimeError as error:
    print("3 examples, 2 outputs, jacrev:", str(error)[:60])
else:
    raise SystemExit("three examples can be mapped now")
PYTHON
