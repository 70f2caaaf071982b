"""Feature and relation losses of other codes beside kdtheory's: what differs, and what makes them equal.

b examples; s and t are the features of student and teacher, D numbers in those of an example, in maps C
channels of HW positions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from _entries import Entry, Given, Measure, on
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, adaptive_max_pool2d, smooth_l1_loss

from kdtheory.losses.features import attention_transfer, hint_loss
from kdtheory.losses.relations import (
    correlation_congruence,
    distance_potentials,
    flow_matrix,
    flow_matrix_loss,
    probabilistic_transfer,
    relational_angle_loss,
    relational_distance_loss,
    row_similarities,
    similarity_preserving,
    similarity_probs,
)


def _of(loss: Callable[..., Tensor]) -> Measure:
    return lambda given: loss(given.student, given.teacher)


def _numbers(given: Given) -> int:
    return given.student[0].numel()


def _positions(given: Given) -> int:
    return min(side.shape[2] * side.shape[3] for side in (given.student, given.teacher))


def _weight(given: Given) -> float:
    return given.settings.get("weight", 1.0)


def _roots(loss: Callable[..., Tensor], student: Tensor, teacher: Tensor) -> Tensor:
    """The mean over examples of the root of each one's loss."""
    pairs = zip(student.split(1), teacher.split(1), strict=True)
    return torch.stack([loss(*pair).sqrt() for pair in pairs]).mean()


def _unit(features: Tensor) -> Tensor:
    rows = features.flatten(1)
    return rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True)


def _apart_at_length_one(given: Given) -> Tensor:
    return _roots(lambda s, t: 2 * hint_loss(s, t), _unit(given.student), _unit(given.teacher))


def _relations(given: Given, distance: float, angle: float) -> Tensor:
    b, sides = len(given.student), (given.student, given.teacher)
    pairs, triples = (b - 1) / b, (b - 1) * (b - 2) / b**2
    far = relational_distance_loss(*sides) * distance * pairs
    return far + relational_angle_loss(*sides) * angle * triples


def _relations_of_torchdistill(given: Given) -> Tensor:
    own, b = given.settings, len(given.student)
    if own.get("reduction") == "sum":
        return _relations(given, own["dist_factor"] * b**2, own["angle_factor"] * b**3)
    return _relations(given, own["dist_factor"], own["angle_factor"])


def _relations_of_repdistiller(given: Given) -> Tensor:
    return _relations(given, given.settings.get("distance", 25.0), given.settings.get("angle", 50.0))


def _near_relations(given: Given) -> Tensor:
    sides = (given.student, given.teacher)
    return relational_distance_loss(*sides) + relational_angle_loss(*sides)


def _pairs(given: Given) -> float:
    """The share of the b² pairs that are pairs of two."""
    return 1 - 1 / len(given.student)


def _triples(given: Given) -> float:
    return _pairs(given) * (1 - 2 / len(given.student))


def _as_if_apart(given: Given) -> Tensor:
    """RKD-D with distances of at least 10⁻⁶, all of which are positive ones."""
    student, teacher = distance_potentials(given.student), distance_potentials(given.teacher)
    mean = torch.linalg.vector_norm(given.teacher[0] - given.teacher[-1]) / teacher[0, -1]
    others = ~torch.eye(len(teacher), dtype=torch.bool)
    distances = (teacher * mean).clamp_min(1e-6) * others
    return smooth_l1_loss(student, distances / distances[others].mean())


def _transfer(given: Given) -> Tensor:
    floor = given.settings.get("eps", given.settings.get("floor", 1e-7))
    q, p = (similarity_probs(side, with_itself=True) for side in (given.student, given.teacher))
    return _weight(given) * (p * ((p + floor) / (q + floor)).log()).mean()


def _transfer_with_itself(given: Given) -> Tensor:
    return probabilistic_transfer(given.student, given.teacher, with_itself=True)


def _absolute_similarities(given: Given) -> Tensor:
    one, other = (row_similarities(side) for side in (given.teacher, given.student))
    shares = [rows / rows.abs().sum(1, keepdim=True) for rows in (one, other)]
    return (shares[0] - shares[1]).square().sum() / _over(given)


def _over(given: Given) -> float:
    return 1.0 if given.settings.get("reduction") == "sum" else len(given.student) ** 2


def _congruence(given: Given) -> Tensor:
    own, b = given.settings["kernel_config"], len(given.student)
    if own["type"] == "bilinear":  # at P = 1 and γ = ½ the kernel is (1 + cos)/e
        loss = correlation_congruence(given.student, given.teacher, gamma=0.5, order=1)
        return loss.sqrt() * math.e / b
    return (
        correlation_congruence(given.student, given.teacher, gamma=own["gamma"], order=own["max_p"]).sqrt()
        / b
    )


def _flows(given: Given) -> tuple[Tensor, Tensor]:
    """The student's flow matrices and the teacher's, the larger map brought down by its maxima."""
    least = min(given.student.shape[2], given.student_before.shape[2])
    one, other = (
        flow_matrix(*(adaptive_max_pool2d(maps, least) for maps in pair))
        for pair in ((given.student_before, given.student), (given.teacher_before, given.teacher))
    )
    return one, other


def _near_flows(given: Given) -> Tensor:
    return flow_matrix_loss((given.student_before, given.student), (given.teacher_before, given.teacher))


def _columns_of_flows(given: Given) -> Tensor:
    one, other = _flows(given)
    return torch.linalg.vector_norm(one - other, dim=1).sum() / len(one)


def _entries_of_flows(given: Given) -> float:
    return 1 / (given.student.shape[1] * given.student_before.shape[1])


def _variational(given: Given) -> Tensor:
    v = given.settings["variance"]
    return hint_loss(given.student, given.teacher) / (v * _numbers(given)) + math.log(v) / 2


def _pyramid(given: Given) -> Tensor:
    sizes = [size for size in (4, 2, 1) if size < given.student.shape[2]]
    pairs = [(given.student, given.teacher)]
    pairs += [tuple(adaptive_avg_pool2d(side, size) for side in pairs[0]) for size in sizes]
    terms = [2 / one[0].numel() * hint_loss(one, other) for one, other in pairs]
    shares = [2.0**-level for level in range(len(terms))]
    return _weight(given) * sum(x * y for x, y in zip(shares, terms, strict=True)) / sum(shares)


def _channels(given: Given) -> Tensor:
    """The sum over the examples of what similarity-preserving says of their channels, over b²; times C."""
    pairs = zip(given.student, given.teacher, strict=True)
    found = [similarity_preserving(one, other) for one, other in pairs]
    return torch.stack(found).sum() * given.student.shape[1] / len(found) ** 2


def _selectivity(given: Given) -> Tensor:
    """The flow of a layer with itself, positions in place of channels, each channel's map at length one."""
    sides = []
    for side in (given.student, given.teacher):
        maps = side.flatten(2)
        maps = maps / torch.linalg.vector_norm(maps, dim=2, keepdim=True)
        turned = maps.mT[..., None]
        sides.append((turned, turned))
    return _weight(given) * flow_matrix_loss(*sides)


def _factor_by_attention(given: Given) -> float:
    return 1 / _positions(given)


GAUSSIAN = {"type": "gaussian", "gamma": 0.4, "max_p": 2}
_DISTANCES = {"dist_factor": 1.0, "angle_factor": 0.0}
_ANGLES = {"dist_factor": 0.0, "angle_factor": 1.0}
_hint, _attention, _similarity = (
    _of(loss) for loss in (hint_loss, attention_transfer, similarity_preserving)
)
_RELATIONS = "means over all b² pairs and b³ triples, itself included; weights in front"
_OVER_B = "mean over b² where ours has with_itself: 1/b"
_ADDED = "mean over b², itself included; ε added to probabilities, no floor"

TORCHDISTILL = (
    Entry("torchdistill", "MSELoss", _hint, on("maps"), "a mean without the half: 2/D",
          factor=lambda given: 2 / _numbers(given)),
    Entry("torchdistill", "ATLoss", _attention, on("maps"), "mean over the positions: 1/HW",
          factor=lambda given: 1 / _positions(given)),
    Entry("torchdistill", "ATLoss, paper", _attention, on("maps", mode="paper"), "norms, not their squares",
          exact=lambda given: _roots(attention_transfer, given.student, given.teacher)),
    Entry("torchdistill", "PKTLoss", _of(probabilistic_transfer), on("rows"), _ADDED, exact=_transfer),
    Entry("torchdistill", "PKTLoss, ε = 0", _transfer_with_itself, on("rows", eps=0.0), _OVER_B,
          factor=lambda given: 1 / len(given.student)),
    Entry("torchdistill", "RKDLoss", _near_relations, on("rows", dist_factor=1.0, angle_factor=2.0)
          + on("rows", dist_factor=25.0, angle_factor=50.0, reduction="sum"), _RELATIONS,
          exact=_relations_of_torchdistill),
    Entry("torchdistill", "RKDLoss, distances", _of(relational_distance_loss), on("rows", **_DISTANCES),
          "mean over b² pairs: (b − 1)/b", factor=_pairs),
    Entry("torchdistill", "RKDLoss, angles", _of(relational_angle_loss), on("rows", **_ANGLES),
          "mean over b³ triples: (b − 1)(b − 2)/b²", factor=_triples),
    Entry("torchdistill", "RKDLoss, two alike", _of(relational_distance_loss), on("two alike", **_DISTANCES),
          "mean over b²; two alike are 10⁻⁶ apart, a positive distance", exact=_as_if_apart),
    Entry("torchdistill", "SPKDLoss", _similarity, on("rows", "maps") + on("rows", reduction="sum"),
          "rows divided by the sum of their magnitudes, not by their length", exact=_absolute_similarities),
    Entry("torchdistill", "CCKDLoss", _of(correlation_congruence),
          on("unit rows", kernel_config=GAUSSIAN) + on("unit rows", kernel_config={**GAUSSIAN, "max_p": 3})
          + on("unit rows", kernel_config={"type": "bilinear"}),
          "the norm, not its square, over b²", exact=_congruence),
    Entry("torchdistill", "CCKDLoss, long", _of(correlation_congruence), on("rows", kernel_config=GAUSSIAN),
          "features are taken as they are, not at length one"),
    Entry("torchdistill", "FSPLoss", _near_flows, on("layers", "layers of two sizes"),
          "sum of the lengths of the columns; the larger map by its maxima", exact=_columns_of_flows),
    Entry("torchdistill", "VIDLoss", _hint, on("maps", variance=0.5) + on("maps", variance=5.0),
          "over the variance, with half its logarithm; a mean", exact=_variational),
    Entry("torchdistill", "FTLoss, p = 2", _hint, on("maps", p=2), "norm of features at length one",
          exact=_apart_at_length_one),
    Entry("torchdistill", "FTLoss", None, on("maps"), "L1 distance of unit vectors: kdtheory has none"),
    Entry("torchdistill", "AltActTransferLoss", None, on("maps"), "a hinge: kdtheory has none"),
    Entry("torchdistill", "HierarchicalContextLoss", _hint, on("maps"), "of several sizes, weights halved",
          exact=_pyramid),
    Entry("torchdistill", "ChSimLoss", _similarity, on("maps"), "of channels within an example; over b twice",
          exact=_channels),
)  # fmt: skip


def _shared(code: str, **weights: float) -> tuple[Entry, ...]:
    """What RepDistiller and mdistiller compute alike, under the weights of the one that has them."""

    def cases(name: str, *points: str, **settings: Any) -> tuple[tuple[str, Mapping[str, Any]], ...]:
        own = {"weight": weights[name]} if name in weights else {}
        return on(*points, **own, **settings)

    return (
        Entry(code, "hint", _hint, cases("hint", "maps"), "a mean without the half: 2/D",
              factor=lambda given: 2 * _weight(given) / _numbers(given)),
        Entry(code, "attention", _attention, cases("attention", "maps", "maps of two sizes"),
              "mean over the positions: 1/HW", factor=lambda given: _weight(given) / _positions(given)),
        Entry(code, "attention, odd p", _odd, cases("attention", "maps", power=1)
              + cases("attention", "maps", power=3), "A^p, not |A|^p"),
        Entry(code, "attention, odd p, A ≥ 0", _odd, cases("attention", "magnitudes", power=1)
              + cases("attention", "maps after a ReLU", power=3), "mean over the positions: 1/HW",
              factor=lambda given: _weight(given) / _positions(given)),
        Entry(code, "similarity", _similarity, cases("similarity", "rows", "maps"),
              "a weight in front" if weights else "", factor=_weight),
        Entry(code, "relations", _near_relations, on("rows"), _RELATIONS, exact=_relations_of_repdistiller),
        Entry(code, "relations, distances", _of(relational_distance_loss),
              on("rows", distance=1.0, angle=0.0),
              "mean over b² pairs: (b − 1)/b", factor=_pairs),
        Entry(code, "relations, angles", _of(relational_angle_loss), on("rows", distance=0.0, angle=1.0),
              "mean over b³ triples: (b − 1)(b − 2)/b²", factor=_triples),
        Entry(code, "transfer", _of(probabilistic_transfer), cases("transfer", "rows"), _ADDED,
              exact=_transfer),
        Entry(code, "transfer, ε = 0", _transfer_with_itself, cases("transfer", "rows", floor=0.0), _OVER_B,
              factor=lambda given: _weight(given) / len(given.student)),
        Entry(code, "variational", _hint, on("maps", variance=5.0),
              "over the variance, with half its logarithm; a mean", exact=_variational),
        Entry(code, "selectivity", _near_flow_with_itself, cases("selectivity", "maps"),
              "the flow of a layer with itself, channels and positions exchanged", exact=_selectivity),
    )  # fmt: skip


def _odd(given: Given) -> Tensor:
    return attention_transfer(given.student, given.teacher, power=given.settings["power"])


def _near_flow_with_itself(given: Given) -> Tensor:
    return flow_matrix_loss((given.student, given.student), (given.teacher, given.teacher))


_WEIGHTS = {
    "hint": 100.0,
    "attention": 1000.0,
    "similarity": 3000.0,
    "transfer": 30000.0,
    "selectivity": 50.0,
}
REDERIVED = (
    *_shared("repdistiller"),
    Entry("repdistiller", "factor, p2 = 2", _attention, on("maps", p2=2), "mean over the positions: 1/HW",
          factor=_factor_by_attention),
    Entry("repdistiller", "factor", None, on("maps"), "L1 distance of attention maps: kdtheory has none"),
    Entry("repdistiller", "flow", _near_flows, on("layers", "layers of two sizes"),
          "mean over the entries: 1/(mn)", factor=_entries_of_flows),
    Entry("repdistiller", "neighbours", _of(correlation_congruence), on("unit rows"),
          "products of neighbouring differences: another loss"),
    Entry("repdistiller", "boundary", None, on("maps"), "a hinge: kdtheory has none"),
    *_shared("mdistiller", **_WEIGHTS),
    Entry("mdistiller", "pyramid", _hint, on("maps"), "of several sizes, weights halved", exact=_pyramid),
)  # fmt: skip
