"""Calibration errors, masks and low-rank factors of other codes beside kdtheory's, as `_entries_of_losses`.

n points, B bins; p is the share to be pruned, a matrix has m rows and n columns.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from _entries import Entry, Given, on
from torch import Tensor, nn

from kdtheory.compression import eckart_young_error, factorise, model_size, narrow, pruned
from kdtheory.risk import top_label_calibration_error


def _bins(given: Given) -> int:
    return int(given.settings.get("n_bins", given.settings.get("bins", 15)))


def _error(given: Given, probs: Tensor, labels: Tensor, norm: str) -> Tensor:
    return top_label_calibration_error(probs, labels, bins=_bins(given), norm=norm)


def _norm_of(given: Given) -> str:
    return str(given.settings.get("norm", "l1"))


def _near_error(norm: str | None = None) -> Callable[[Given], Tensor]:
    return lambda given: _error(given, given.probs, given.labels, norm or _norm_of(given))


def _moved(probs: Tensor, ends: Tensor, bins: int) -> Tensor:
    """Confidences moved by a rounding into the bin that the code puts them into: [end, next end)."""
    confidence = probs.amax(-1)
    place = (torch.searchsorted(ends.double(), confidence.double(), side="right") - 1).clamp_max(bins - 1)
    own = (torch.arange(bins + 1, dtype=torch.float64) / bins).to(confidence.dtype)
    lowest = torch.nextafter(own[place], torch.ones(()).to(own))
    inside = torch.minimum(torch.maximum(confidence, lowest), own[place + 1])
    return torch.where(probs == confidence[:, None], inside[:, None], probs)


def _error_of_torchmetrics(given: Given) -> Tensor:
    """In float32, bins closed below, and certain predictions apart, in a bin of their own."""
    bins, norm, probs = _bins(given), _norm_of(given), given.probs.float()
    sure = probs.amax(-1) == 1
    rest = _moved(probs[~sure], torch.linspace(0, 1, bins + 1), bins)
    parts = [(part, given.labels[which]) for part, which in ((rest, ~sure), (probs[sure], sure)) if len(part)]
    errors = torch.stack([_error(given, part, labels, norm) for part, labels in parts])
    shares = torch.tensor([len(part) / len(probs) for part, _ in parts])
    if norm == "max":
        return errors.amax()
    return (shares * errors).sum() if norm == "l1" else (shares * errors.square()).sum().sqrt()


def _rows_of_netcal(given: Given) -> Tensor:
    return _moved(
        given.probs, torch.from_numpy(np.linspace(0, 1, _bins(given) + 1)).to(given.probs), _bins(given)
    )


def _error_of_netcal(norm: str) -> Callable[[Given], Tensor]:
    return lambda given: _error(given, _rows_of_netcal(given), given.labels, norm)


def _unweighted(given: Given) -> Tensor:
    """The mean of the errors of the bins, each by itself."""
    probs = _rows_of_netcal(given)
    place = (probs.amax(-1).double() * _bins(given)).ceil()
    found = [
        top_label_calibration_error(probs[place == b], given.labels[place == b], bins=1)
        for b in place.unique()
    ]
    return torch.stack(found).mean()


def _in_norms(points: str, *bins: int) -> tuple[tuple[str, dict[str, Any]], ...]:
    norms = ("l1", "l2", "max")
    return tuple((points, {"n_bins": number, "norm": norm}) for number in bins for norm in norms)


_USUAL = (*on("forecasts"), *_in_norms("forecasts", 1, 10, 15), *_in_norms("few bins", 20))
_ON_EDGES = on("on edges", bins=10) + on("on edges", bins=5)
_OF_TWO = on("two classes", bins=10) + on("two classes", bins=5)
CALIBRATION = (
    Entry("torchmetrics", "calibration error", _near_error(), _USUAL, quantities=("calibration error",)),
    Entry("torchmetrics", "calibration error, on edges", _near_error(), _in_norms("on edges", 10),
          "bins have their lower end", exact=_error_of_torchmetrics, quantities=("calibration error",)),
    Entry("torchmetrics", "calibration error, some sure", _near_error(), _in_norms("some sure", 1, 10),
          "1 has a bin of its own", exact=_error_of_torchmetrics, quantities=("calibration error",)),
    *(Entry("netcal", f"{name}{more}", _near_error(norm), cases, words, exact=exact and exact(norm),
            quantities=("calibration error",), dtypes=dtypes)
      for name, norm in (("ECE", "l1"), ("MCE", "max"))
      for more, cases, words, exact, dtypes in (
          ("", on("forecasts", "few bins", "some sure", bins=10) + on("forecasts", bins=15), "", None, None),
          (", on edges", _ON_EDGES, "bins have their lower end", _error_of_netcal, ("float64",)),
          (", on edges, float32", _ON_EDGES, "counts and means are of other bins", None, ("float32",)))),
    Entry("netcal", "ACE", _near_error("l1"), on("forecasts", "few bins", bins=10),
          "every bin with points weighs the same", exact=_unweighted, quantities=("calibration error",)),
    Entry("netcal", "ECE, two classes", _near_error("l1"), _OF_TWO,
          "of the second class, not of the likelier one", quantities=("calibration error",)),
)  # fmt: skip


def _net(given: Given) -> nn.Sequential:
    layers = OrderedDict[str, nn.Module]()
    for name in ("first", "second"):
        weight = getattr(given, name)
        layers[name] = nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype)
        layers[name].weight = nn.Parameter(weight.clone())
    layers["relu"] = nn.ReLU()
    layers.move_to_end("second")
    return nn.Sequential(layers)


def _counted(given: Given, net: nn.Module) -> Any:
    weights = {name: net.get_submodule(name).weight.detach() for name in ("first", "second")}
    if given.quantity == "zeros":
        return sum(int((weight == 0).sum()) for weight in weights.values())
    gaps = [(getattr(given, name) - weight).square().sum() for name, weight in weights.items()]
    return torch.stack(gaps).sum().sqrt()


def _share(given: Given) -> float:
    asked = given.settings.get("amount", given.settings.get("ratio"))
    total = given.first.numel() + given.second.numel()
    return float(asked / total if isinstance(asked, int) else asked)


def _near_pruned(given: Given) -> Any:
    return _counted(given, pruned(_net(given), sparsity=_share(given)))


def _near_units(given: Given) -> Any:
    return _counted(given, pruned(_net(given), sparsity=_share(given), structured=True))


def _pruned_again(given: Given) -> Any:
    return _counted(given, pruned(_net(given), sparsity=1 - (1 - _share(given)) ** given.settings["times"]))


def _layer_by_layer(share: Callable[[Given, Tensor], float]) -> Callable[[Given], Any]:
    def exact(given: Given) -> Any:
        net: nn.Module = _net(given)
        for name in ("first", "second"):
            net = pruned(net, sparsity=share(given, getattr(given, name)), layers=[name])
        return _counted(given, net)

    return exact


def _all_units(given: Given) -> Any:
    layers = ["first", "second"]
    return _counted(given, pruned(_net(given), sparsity=_share(given), structured=True, layers=layers))


def _up_to_the_threshold(magnitudes: Tensor, ratio: float) -> float:
    """The share of the magnitudes up to the one at ⌊(n − 1)p⌋ in order, with it and its equals."""
    threshold = magnitudes.flatten().sort().values[int((magnitudes.numel() - 1) * ratio)]
    return float((magnitudes <= threshold).double().mean())


def _scaled_pruned(given: Given) -> Any:
    """Pruned after each layer is divided by its length, and put back."""
    net = _net(given)
    lengths = {name: torch.linalg.vector_norm(getattr(given, name)) for name in ("first", "second")}
    for name, length in lengths.items():
        net.get_submodule(name).weight.data /= length
    scaled = torch.cat([net.get_submodule(name).weight.detach().abs().flatten() for name in lengths])
    made = pruned(net, sparsity=_up_to_the_threshold(scaled, _share(given)), held=False)
    for name, length in lengths.items():
        made.get_submodule(name).weight.data *= length
    return _counted(given, made)


def _narrowed(kept: Callable[[int, float], int]) -> Callable[[Given], Any]:
    def ours(given: Given) -> Any:
        units = len(given.first)
        net = narrow(_net(given), widths=[kept(units, given.settings["pruning_ratio"])])
        if given.quantity == "parameters":
            return model_size(net).parameters
        return torch.linalg.vector_norm(net[0].weight.detach())

    return ours


def _kept_by_torch_pruning(units: int, ratio: float) -> int:
    return int(units * (1 - ratio)) or units  # in floating point; where none would stay, all do


_AS_ASKED = _narrowed(lambda units, ratio: units - round(units * ratio))
_UNITS = ("zeros", "error")
_RATIOS = tuple(("net", {"pruning_ratio": ratio}) for ratio in (0.5, 0.75, 0.8, 0.9))

PRUNING = (
    Entry("torch", "global_unstructured", _near_pruned, on("net", amount=0.5) + on("net", amount=0.35)
          + on("net", amount=17), quantities=_UNITS),
    Entry("torch", "global_unstructured, equal weights", _near_pruned, on("equal weights", amount=0.5),
          quantities=_UNITS),
    Entry("torch", "global_unstructured, twice", _near_pruned, on("net", amount=0.5, times=2),
          "a share of what is left", exact=_pruned_again, quantities=_UNITS),
    Entry("torch", "l1_unstructured", _near_pruned, on("net", amount=0.35), "each layer by itself",
          quantities=_UNITS, exact=_layer_by_layer(lambda given, weight: _share(given))),
    Entry("torch", "ln_structured, n = 2", _near_units, on("net", amount=0.5, n=2), "the last layer's too",
          exact=_all_units, quantities=_UNITS),
    Entry("torch", "ln_structured, n = 1", _near_units, on("net", amount=0.5, n=1),
          "the last layer's too, ranked by sums of magnitudes", quantities=_UNITS),
    Entry("nncf", "local", _near_pruned, on("net", ratio=0.35) + on("net", ratio=0.5) + on("net", ratio=0.0),
          "each layer by itself, ⌊(n − 1)p⌋ + 1 weights", quantities=_UNITS,
          exact=_layer_by_layer(lambda given, weight: _up_to_the_threshold(weight.abs(), _share(given)))),
    Entry("nncf", "local, equal weights", _near_pruned, on("equal weights", ratio=0.5),
          "all equals of the last one too", quantities=_UNITS,
          exact=_layer_by_layer(lambda given, weight: _up_to_the_threshold(weight.abs(), _share(given)))),
    Entry("nncf", "global", _near_pruned, on("net", ratio=0.35) + on("net", ratio=0.5),
          "magnitudes over the length of their layer", exact=_scaled_pruned, quantities=_UNITS),
    Entry("torch_pruning", "MagnitudeImportance, first", _AS_ASKED,
          tuple((points, {**own, "group_reduction": "first"}) for points, own in _RATIOS),
          "keeps ⌊n(1 − p)⌋ units as rounded, all where that is none",
          exact=_narrowed(_kept_by_torch_pruning), quantities=("parameters", "norm of the first layer")),
    Entry("torch_pruning", "MagnitudeImportance", _AS_ASKED, _RATIOS[:2],
          "ranks units by what goes out, too", quantities=("norm of the first layer",)),
)  # fmt: skip


def _rank(given: Given) -> int:
    return int(given.settings["rank"])


def _factors(weight: Callable[[Given], Tensor]) -> Callable[[Given], Any]:
    def ours(given: Given) -> Any:
        values = weight(given)
        if given.quantity == "error":
            return eckart_young_error(values.flatten(1), rank=_rank(given))
        kind = nn.Linear(values.shape[1], len(values), bias=False) if values.ndim == 2 else nn.Conv2d(
            values.shape[1], len(values), values.shape[2:], bias=False)  # fmt: skip
        return model_size(factorise(kind, ranks={"": _rank(given)})).parameters

    return ours


def _with_values(given: Given) -> Any:
    return _MATRIX(given) + (_rank(given) if given.quantity == "parameters" else 0)


def _centred(given: Given) -> Any:
    if given.quantity == "parameters":
        return _MATRIX(given) + given.matrix.shape[1]
    return eckart_young_error(given.matrix - given.matrix.mean(0), rank=_rank(given))


_MATRIX, _KERNEL = _factors(lambda given: given.matrix), _factors(lambda given: given.kernel)
_BOTH = ("error", "parameters")
_RANKS = on("matrix", rank=1) + on("matrix", rank=5)
_RANDOM = "randomised, at least the least error"
_APART = "the singular values are kept apart: r more numbers"

LOW_RANK = (
    Entry("torch", "linalg.svd", _MATRIX, _RANKS, _APART, exact=_with_values, quantities=_BOTH),
    Entry("torch", "svd_lowrank", _MATRIX, _RANKS, _RANDOM, quantities=("error",)),
    Entry("scipy", "svds", _MATRIX, _RANKS, _APART, exact=_with_values, quantities=_BOTH),
    Entry("scikit_learn", "TruncatedSVD", _MATRIX, _RANKS, _RANDOM, quantities=_BOTH),
    Entry("scikit_learn", "PCA", _MATRIX, _RANKS, "of the rows less their mean, n numbers more",
          exact=_centred, quantities=_BOTH),
    Entry("tensorly", "svd_interface", _MATRIX, _RANKS, _APART, exact=_with_values, quantities=_BOTH),
    Entry("tensorly", "partial_tucker, filters", _KERNEL, on("kernel", rank=3, modes=[0]), quantities=_BOTH),
    Entry("tensorly", "partial_tucker, both", _KERNEL, on("kernel", rank=3, modes=[0, 1]),
          "filters and channels both: another factorisation", quantities=_BOTH),
)  # fmt: skip
