"""Chapter 8.2: which divergence the losses of the codes in use descend."""

from __future__ import annotations

import torch

from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint
from kdtheory.claims.wrong import given, scaled
from kdtheory.experiments import Rows
from kdtheory.experiments.sequences.directions import gradients_of_sequence_codes, the_other_way
from kdtheory.sequences import kl_surrogate


@claim(
    section="8.2",
    formula=r"\mathbb E\nabla L_{\text{code}} = \nabla\mathrm{KL}(p\|q)\ \text{or}\ \nabla\mathrm{KL}(q\|p)",
    source="derived here",
    place="derived here; codes in the versions that the table names",
    assumes=("T = 1; where tokens are sampled, the student has drawn them.",),
    experiment=gradients_of_sequence_codes,
    control=Control("each code is said to descend the other divergence", direction=the_other_way),
    mutants=(
        Mutant("k2 in the place of k3", kl_surrogate, given(estimator=lambda name: name.replace("3", "2"))),
        Mutant("k2 in the place of k1", kl_surrogate, given(estimator=lambda name: name.replace("1", "2"))),
        Mutant("half of each sampled loss", kl_surrogate, scaled(0.5)),
    ),
    power=Scaled(kl_surrogate),
)
def losses_of_codes_descend_the_divergence_that_the_table_names(rows: Rows, /) -> Evidence:
    """The losses of TRL, ms-swift, verl, slime and the PyTorch tutorial have on average the gradient of the
    divergence that the table of conventions names for each, and those for which it names none have that of
    neither.

    Equality to 1e-9 of the largest; for the others at least a hundredth of the nearer divergence's gradient
    is left beside the best multiple of theirs.
    """
    parts: dict[str, Evidence] = {
        name: Identity.of(rows[name], rows.wanted[name], tolerance=1e-9) for name in rows.codes
    }
    parts["neither"] = Inequality.of(torch.full_like(rows.left, 0.01), rows.left)
    return Joint(parts=parts)
