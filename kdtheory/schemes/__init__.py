"""Schemes of distillation for any `nn.Module`: fit, distil, evaluate; offline, online, self, from ensembles.

`fit` trains on labels, `distil` on named, weighted `Term`s (logits, or layers by their paths), `mutual`
trains students that teach each other, `born_again` a line of students each of which teaches the next; several
teachers are an `Ensemble`. An `Objective` is what `distil` minimises, for a loop of your own. `evaluate`
measures accuracy and fidelity, `compare` sets schemes side by side over seeds; `Batches` says how a batch is
to be read. `kdtheory.schemes.populations` has the same schemes for whole populations.
"""

from kdtheory.batches import Batches
from kdtheory.schemes.comparison import Comparison, compare
from kdtheory.schemes.evaluation import evaluate
from kdtheory.schemes.loop import Loop, Trained
from kdtheory.schemes.objective import Objective
from kdtheory.schemes.offline import distil, fit
from kdtheory.schemes.online import mutual
from kdtheory.schemes.projections import linear_projection
from kdtheory.schemes.rounds import born_again
from kdtheory.schemes.teachers import Ensemble
from kdtheory.schemes.terms import Term, hinton, labels_term, response_term
from kdtheory.schemes.watching import Moment, Validation

__all__ = [
    "Batches",
    "Comparison",
    "Ensemble",
    "Loop",
    "Moment",
    "Objective",
    "Term",
    "Trained",
    "Validation",
    "born_again",
    "compare",
    "distil",
    "evaluate",
    "fit",
    "hinton",
    "labels_term",
    "linear_projection",
    "mutual",
    "response_term",
]
