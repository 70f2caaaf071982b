"""The assumptions of bounds, one sentence each, as `Bound.assumptions` prints them.

None of it can be read off the points: each is the caller's word, a flag without a default, True or False.
"""

from __future__ import annotations

DRAWN = "the points are independent draws from the distribution in question"
FIXED = "the predictor was fixed before the points were drawn"
EACH_FIXED = "each predictor was fixed before its own point was drawn"
GUESSED = "the guess was made without the points"
CODED = "the code was fixed before the points were drawn"
PRIOR = "the prior and the grid of its deviations were fixed before the points were drawn"
FRESH = "the draws of g are independent of each other and of everything else"
CLASS_FIXED = "the class was fixed before the points were drawn"
CLASSES_FIXED = (
    "the classes, the candidates of γ and all shares of δ were fixed before any of the points were drawn"
)
GRID_FIXED = (
    "the architecture, the candidates of γ and their shares of δ were fixed before the points were drawn"
)
KERNEL_FIXED = "the kernel, the candidates of γ and their shares of δ were fixed before the points were drawn"
STUDENT_FIXED = "the student was fixed before the labelled points were drawn"
CANDIDATES_FIXED = "the candidates of γ and their shares of δ were fixed before any of the points were drawn"
UNSEEN = "the unlabelled points were drawn after the predictor and its witness were fixed"
ONE_LAW = "the unlabelled points are independent draws from the distribution of the labelled ones"
WITNESS_FIXED_FIRST = "the witness was fixed before either sample was drawn"
PREDICTOR_FIXED_FIRST = "the predictor was fixed before either sample was drawn"
DISJOINT = "no point is in both samples"
BOTH_FIXED = "student and teacher were fixed before the points were drawn"
PLANNED = (
    "how many points to label was fixed beforehand, and which was drawn at random among all those where the "
    "two differ, before a label was seen"
)
STRATA_FIXED = "strata, weights and the number of labels in each were fixed before a label was seen"
