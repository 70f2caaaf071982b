"""Local structure: how similar each example is to each of its neighbours in a graph (LSP).

z_i is the feature vector of example i, E the set of edges, s the similarity.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.losses._doors import check_features, check_paired_rows, product
from kdtheory.losses.divergences import reverse_kl_divergence
from kdtheory.types import at_least_float32
from kdtheory.validate import check_at_least, check_one_of, check_positive

__all__ = [
    "SIMILARITIES",
    "local_structure",
    "local_structure_loss",
    "polynomial_similarity",
    "rbf_similarity",
]

Similarity = Callable[[Tensor], Tensor]


@door
def polynomial_similarity(
    features: Float[Tensor, "n d"], /, *, degree: int = 2, offset: float = 0.0
) -> Float[Tensor, "n n"]:
    """s(z_i, z_j) = (⟨z_i, z_j⟩ + c)^d; degree and offset are ours unless given.

    Raises:
        ValueError: d < 1, or a feature or the offset is not finite.

    >>> polynomial_similarity(torch.tensor([[1.0], [2.0]]), degree=2, offset=1.0)
    tensor([[ 4.,  9.],
            [ 9., 25.]])
    """
    check_at_least("degree", degree, 1)
    check_features("features", features)
    if not math.isfinite(offset):
        raise ValueError(f"offset = {offset} must be finite")
    return (_inner_products(features) + offset) ** degree


@door
def rbf_similarity(features: Float[Tensor, "n d"], /, *, scale: float = 1.0) -> Float[Tensor, "n n"]:
    """s(z_i, z_j) = exp(−‖z_i − z_j‖²/(2σ)); σ is ours unless given.

    Raises:
        ValueError: σ ≤ 0, or a feature is not finite.

    >>> rbf_similarity(torch.tensor([[0.0], [2.0]]), scale=2.0).log()
    tensor([[ 0., -1.],
            [-1.,  0.]])
    """
    check_positive("scale", scale)
    check_features("features", features)
    return (-_squared_distances(features) / (2 * scale)).exp()


def _squared_distances(features: Tensor) -> Tensor:
    (features,) = at_least_float32(features)
    return (features[:, None] - features[None]).square().sum(-1)


def _inner_products(features: Tensor) -> Tensor:
    (features,) = at_least_float32(features)
    return product(features, features.mT)


SIMILARITIES: dict[str, Similarity] = {
    "euclidean": _squared_distances,
    "linear": _inner_products,
    "polynomial": polynomial_similarity,
    "rbf": rbf_similarity,
}
"""‖z_i − z_j‖², ⟨z_i, z_j⟩, the polynomial and the RBF, each from n × d features to n × n similarities."""


@door
def local_structure(
    features: Float[Tensor, "n *d"],
    /,
    *,
    edges: Bool[Tensor, "n n"] | None = None,
    similarity: str | Similarity = "euclidean",
) -> Float[Tensor, "n n"]:
    """LS_ij = e^{s(z_i, z_j)} / Σ_{j:(j,i)∈E} e^{s(z_i, z_j)}, and 0 off the edges; each row sums to one.

    Yang, Qiu, Song, Tao, Wang, *Distilling Knowledge from Graph Convolutional Networks* (2020). The lecture
    notes print the denominator without its exponential. The Euclidean similarity has no minus, in the notes
    as here: it is the *far* neighbours that weigh most, and soon one of them alone.

    Args:
        features: z, one example a row (further axes are flattened).
        edges: [i, j] says whether (j, i) ∈ E; None connects every example with all others, not with itself.
        similarity: a key of `SIMILARITIES`, or a function from n × d features to n × n similarities, such as
            ``partial(rbf_similarity, scale=100.0)``.

    Raises:
        ValueError: fewer than two examples, features that are not finite, an example without neighbours, or
            an unknown similarity.

    >>> rows = local_structure(torch.tensor([[0.0], [1.0], [3.0]]))
    >>> rows.sum(-1), (rows[0, 2] / rows[0, 1]).log()  # 9 − 1
    (tensor([1., 1., 1.]), tensor(8.))
    """
    return _log_weights("features", features, edges, similarity).softmax(-1)


@door
def local_structure_loss(
    student_features: Float[Tensor, "n *student"],
    teacher_features: Float[Tensor, "n *teacher"],
    /,
    *,
    edges: Bool[Tensor, "n n"] | None = None,
    similarity: str | Similarity = "euclidean",
) -> Float[Tensor, ""]:
    """(1/n) Σ_i KL(LS^S_i ‖ LS^T_i), local structure preserving; *student* first (Yang et al. 2020).

    The paper's graph comes with the data; without `edges` all pairs are neighbours here. It ignores rotations
    of either side's features and, where the similarity is Euclidean or RBF, translations; with the inner
    product and the polynomial it does not ignore translations.

    Args:
        student_features: z^S.
        teacher_features: z^T; of any width.
        edges: as in `local_structure`; one graph for both.
        similarity: as in `local_structure`.

    Raises:
        ValueError: as `local_structure`, or the batches differ.

    >>> points = torch.tensor([[0.0], [1.0], [3.0]])
    >>> local_structure_loss(points, 5 - points)
    tensor(0.)
    """
    check_paired_rows(student_features, teacher_features, least=2)
    student = _log_weights("student_features", student_features, edges, similarity)
    teacher = _log_weights("teacher_features", teacher_features, edges, similarity)
    return reverse_kl_divergence(student, teacher).mean()


def _log_weights(
    name: str, features: Tensor, edges: Tensor | None, similarity: str | Similarity
) -> Float[Tensor, "n n"]:
    """s(z_i, z_j) on the edges, −∞ off them."""
    check_features(name, features)
    check_at_least(f"the number of examples in {name}", len(features), 2)
    if isinstance(similarity, str):
        check_one_of("similarity", similarity, tuple(SIMILARITIES))
        similarity = SIMILARITIES[similarity]
    similarities = similarity(at_least_float32(features.flatten(1))[0])
    if not bool((similarities < torch.inf).all()):
        raise ValueError(f"{name} has similarities of NaN or +inf; give values nearer to 1")
    return similarities.masked_fill(~_checked_edges(edges, features), -torch.inf)


def _checked_edges(edges: Tensor | None, features: Tensor) -> Tensor:
    n = len(features)
    if edges is None:
        return ~torch.eye(n, dtype=torch.bool, device=features.device)
    if edges.shape != (n, n) or edges.dtype != torch.bool:
        raise ValueError(
            f"edges has shape {tuple(edges.shape)} and dtype {edges.dtype}; give ({n}, {n}) bool"
        )
    lonely = int((~edges.any(-1)).sum())
    if lonely:
        raise ValueError(f"edges leaves {lonely} examples without neighbours; give each at least one")
    return edges
