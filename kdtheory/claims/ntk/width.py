"""Chapter 6.1: the kernel of infinite width is what empirical kernels of finite nets tend to (Jacot 2018)."""

from __future__ import annotations

import torch

from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Equality, Evidence, Joint, Rate
from kdtheory.claims.wrong import arguments, given, scaled
from kdtheory.experiments import Rows
from kdtheory.experiments.ntk.width import infinite_kernel, kernels_of_random_nets, scales_drawn
from kdtheory.ntk import InfiniteMLP


@claim(
    section="6.1",
    formula=r"\lVert \langle \partial_\theta f(x), \partial_\theta f(x') \rangle - \Theta(x, x') \rVert"
    r" = O(\text{width}^{-1/2}),\quad \mathbb E\langle \partial_\theta f(x),"
    r" \partial_\theta f(x') \rangle \to \Theta(x, x')",
    source="jacot2018neural",
    place="derived here",
    assumes=("NTK parameterisation: the factor 1/√n stands in the forward pass.",),
    experiment=kernels_of_random_nets,
    control=Control(
        "the standard parameterisation: the factor is drawn, not applied", parameterisation=scales_drawn
    ),
    mutants=(
        Mutant("the covariance of outputs for the tangent kernel", InfiniteMLP, given(kind="nngp")),
        Mutant("a layer is missing", InfiniteMLP, arguments(lambda layers: layers - 1)),
        Mutant("the bias is forgotten", InfiniteMLP, given(bias_std=0.0)),
        Mutant("five per cent too large", infinite_kernel, scaled(1.05)),
    ),
    power=Scaled(infinite_kernel),
    cost=5,
)
def empirical_kernels_tend_to_the_infinite_one(rows: Rows, /) -> Evidence:
    """The tangent kernel of a random net differs from the closed form of infinite width by an amount that
    falls like one over the root of the width, and is equal to it in the mean over wide nets.

    Slopes of the relative distance within 0.15 of −1/2: a limit that is a few per cent off would not be
    noticed there, since single nets are further off themselves. The mean over nets of 512 and 1,024 units,
    along the limit, is within 2.5 per cent of it.
    """
    parts: dict[str, Evidence] = {}
    for name in ("relu", "erf"):
        away = rows[f"{name}_distance"]
        notes = {"relative distance": dict(zip(map(str, rows.width), away.mean(0).tolist(), strict=True))}
        parts[f"{name}: rate"] = Rate.of(rows.width, away, expected=-0.5, margin=0.15, notes=notes)
        # A variance is inverse to the width: so are the weights of the two widest.
        mean = rows[f"{name}_share"][:, -2:] @ torch.tensor([1 / 3, 2 / 3], dtype=torch.float64)
        parts[f"{name}: mean"] = Equality.of(mean, torch.ones_like(mean), margin=0.025)
    return Joint(parts=parts)
