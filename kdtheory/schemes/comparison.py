"""Schemes side by side over seeds: named losses per step, fidelity, accuracy, each with its interval."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import nn

from kdtheory.batches import Data
from kdtheory.doors import door
from kdtheory.networks import Pick
from kdtheory.schemes.evaluation import MEASURES, OF_A_TEACHER, evaluate
from kdtheory.schemes.loop import Trained
from kdtheory.stats import mean_test
from kdtheory.streams import Stream
from kdtheory.validate import check_at_least, check_one_of

__all__ = ["Comparison", "compare"]

Scheme = Callable[[Stream], Trained]


@door
@dataclass(frozen=True, eq=False)
class Comparison:
    """The outcomes of each scheme at each seed.

    Args:
        losses: scheme, seed, step, loss, weight, value: the named losses as training went on.
        measures: scheme, seed, measure, value: of the module after its last step, on the test points, and the
            gradient norm of its objective.
    """

    losses: pd.DataFrame
    measures: pd.DataFrame

    def summary(self, *, confidence: float = 0.95) -> pd.DataFrame:
        """scheme, measure, mean, low, high, seeds: Student intervals over the seeds.

        Of a measure that is not finite at some seed, as the gradient norm of a training that diverged, there
        is no interval: low and high are NaN.
        """
        return _intervals(self.measures, confidence)

    def gains(self, over: str, /, *, confidence: float = 0.95) -> pd.DataFrame:
        """Mean and interval of the difference to scheme `over` at each seed: paired, so that seeds cancel.

        Where either is not finite at some seed there is no interval, as in `summary`.

        Raises:
            ValueError: there is no such scheme.
        """
        check_one_of("over", over, tuple(self.measures["scheme"].unique()))
        table = self.measures.pivot_table(
            index=["measure", "seed"], columns="scheme", values="value", dropna=False
        )
        gains = table.sub(table[over], axis=0).drop(columns=over)
        return _intervals(gains.reset_index().melt(["measure", "seed"], value_name="value"), confidence)


@door
def compare(
    schemes: Mapping[str, Scheme],
    test: Data,
    /,
    *,
    teacher: nn.Module | Sequence[nn.Module] | None = None,
    seeds: int,
    stream: Stream,
    device: str | torch.device = "auto",
    output: Pick | None = None,
) -> Comparison:
    """Run every scheme at every seed and evaluate what comes out: last step, on points kept from all.

    All schemes get the same stream at one seed, so that what they draw alike (a start, an order) is alike.
    A module that cannot be evaluated, as one that has diverged, costs its own measures, which are NaN, and a
    warning, and not what other trainings gave.

    Args:
        schemes: name ↦ a function of a stream that trains one module, such as
            ``lambda here: distil(student, teacher, data, losses=…, recipe=…, stream=here)``.
        test: labelled points, (inputs, labels) or a DataLoader.
        teacher: for agreement and divergence.
        seeds: how many, 2 or more.
        stream: the seeds are its children 0, 1, ….
        device: where to evaluate.
        output: where the logits are in what a module gives, as in `evaluate`.

    Raises:
        ValueError: no scheme, fewer than two seeds, or a scheme that does not give one trained module.

    >>> from kdtheory.recipe import Recipe
    >>> from kdtheory.schemes import fit
    >>> points = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])
    >>> def labels(here):
    ...     with here.default():
    ...         student = nn.Linear(1, 2)
    ...     return fit(student, points, recipe=Recipe(steps=500), stream=here)
    >>> table = compare({"labels": labels}, points, seeds=2, stream=Stream(0)).summary()
    >>> table.loc[table["measure"] == "accuracy", ["mean", "seeds"]].to_numpy().tolist()
    [[1.0, 2.0]]
    """
    check_at_least("the number of schemes", len(schemes), 1)
    check_at_least("seeds", seeds, 2)
    losses: list[pd.DataFrame] = []
    measures: list[dict[str, object]] = []
    for seed in range(seeds):
        for name, scheme in schemes.items():
            trained = scheme(stream.child(seed))
            if not isinstance(trained, Trained):
                given = f"a {type(trained).__name__}"
                raise ValueError(f"schemes[{name!r}] gives {given}; give one Trained, as distil or fit does")
            losses.append(trained.history.assign(scheme=name, seed=seed))
            try:
                found = evaluate(trained.module, test, teacher=teacher, device=device, output=output)
            except ValueError as error:
                if not measures and not _diverged(trained.module):
                    raise
                warnings.warn(f"{name} at seed {seed} has no measures: {error}", stacklevel=3)
                found = dict.fromkeys(MEASURES if teacher is None else MEASURES + OF_A_TEACHER, math.nan)
            found["gradient_norm"] = trained.gradient_norm
            measures += [
                {"scheme": name, "seed": seed, "measure": key, "value": value} for key, value in found.items()
            ]
    order = ["scheme", "seed", "step", "loss", "weight", "value"]
    return Comparison(pd.concat(losses, ignore_index=True)[order], pd.DataFrame(measures))


def _diverged(module: nn.Module) -> bool:
    return not all(bool(part.isfinite().all()) for part in module.parameters())


def _intervals(frame: pd.DataFrame, confidence: float) -> pd.DataFrame:
    rows = []
    for (scheme, measure), part in frame.groupby(["scheme", "measure"], sort=False):
        values = part["value"].to_numpy(dtype=float)
        if np.isfinite(values).all():
            test = mean_test(values)
            mean, (low, high) = test.mean, test.interval(confidence)
        else:
            mean, low, high = sum(values.tolist()) / len(values), math.nan, math.nan
        rows.append((scheme, measure, mean, low, high, len(part)))
    return pd.DataFrame(rows, columns=["scheme", "measure", "mean", "low", "high", "seeds"])
