"""kdtheory: the theory of knowledge distillation as executable claims, judged with honest statistics.

The mathematics is in `kdtheory.losses`, `kdtheory.risk` and `kdtheory.bounds`; worlds whose truth is known in
`kdtheory.problems`; data in `kdtheory.datasets`. What is needed to train populations, to certify a
teacher, and to declare and judge claims is here.
"""

from typing import TYPE_CHECKING

from kdtheory._lazy import lazily

if TYPE_CHECKING:
    from kdtheory.assertion import assert_claim
    from kdtheory.certify import Certificates, certify, certify_logits
    from kdtheory.claims import Claim, Control, Mutant, Plan, Verdict, claim, examine, judge
    from kdtheory.experiments import Rows, Run, experiment
    from kdtheory.ledger import Ledger, verify
    from kdtheory.networks import MLP, ModuleArchitecture
    from kdtheory.populations import Population, train
    from kdtheory.recipe import Recipe
    from kdtheory.streams import Stream

__all__ = [
    "MLP",
    "Certificates",
    "Claim",
    "Control",
    "Ledger",
    "ModuleArchitecture",
    "Mutant",
    "Plan",
    "Population",
    "Recipe",
    "Rows",
    "Run",
    "Stream",
    "Verdict",
    "assert_claim",
    "certify",
    "certify_logits",
    "claim",
    "examine",
    "experiment",
    "judge",
    "train",
    "verify",
]
__version__ = "0.2.0"

lazily(__name__)
