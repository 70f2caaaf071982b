"""Patch networks on orthogonal patches: the limit d → ∞ of multi-view data, where every step is element-wise.

Gradient descent never leaves the span of the start and the patches. Where the noise patches are orthogonal to
one another and to the features, a channel is known by its products u with the features and z = ⟨w, ξ⟩
with each noise patch of each training point, and each moves by itself (constants derived here):
u_f += (η/n) Σ_i g_ic·x_if·a′(x_if·u_f), z_ip += (η/n)·g_ic·s²·a′(z_ip), −g the gradient in the logits.
Gaussian patches have products of order s²/√d instead of 0; how fast plain networks in R^d come to this limit
is a claim. A product that starts at or below 0 has a′ = 0 for ever, and is left out.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot, pad

from kdtheory.doors import door
from kdtheory.multiview._kernel import LANES, descend, pack
from kdtheory.networks.patches import PatchNetwork, smoothed_relu
from kdtheory.problems.multi_view import Views
from kdtheory.recipe import Recipe
from kdtheory.streams import Stream
from kdtheory.validate import check_at_least, check_fraction, check_labels, check_logits, check_positive

__all__ = ["LimitPopulation", "check_views", "limit_of", "limit_start", "train_limit"]

_LARGEST_POWER = 8


@door
@dataclass(frozen=True, eq=False)
class LimitPopulation:
    """Patch networks in the orthogonal limit, by their products with features and training noise.

    Args:
        network: the architecture; its patch dimension plays no part.
        noise_norm: s, the norm of a noise patch.
        projections: u, the product of every channel with every feature.
        memory: z, the products with the noise patches of each training point that were positive at the start,
            padded with zeros; channels and patches are exchangeable here.
        counts: how many of them are not padding.
        average_of: N, where the logits are (1/N) Σ over N networks trained as one; else 1.
    """

    network: PatchNetwork
    noise_norm: float
    projections: Float[Tensor, "members k r f"]
    memory: Float[Tensor, "members n k l"]
    counts: Int[Tensor, "members n k"]
    average_of: int = 1

    def __len__(self) -> int:
        return len(self.projections)

    def logits(self, coefficients: Float[Tensor, "n f"], /) -> Float[Tensor, "members n k"]:
        """The logits of fresh points, by their features.

        A fresh noise patch has the product ⟨w, ξ⟩ ~ N(0, init_std²s²) of the start with every channel; what
        this adds to a logit, at most of the order C·P′·a(3·init_std·s), is left out.
        """
        features = self.projections.shape[-1]
        if coefficients.shape[-1] != features or not len(coefficients):
            raise ValueError(
                f"coefficients has shape {tuple(coefficients.shape)}; give n × {features} features, n ≥ 1"
            )
        weights, places = _places(coefficients)
        if not len(weights):  # points that show nothing
            return self.projections.new_zeros(len(self), len(coefficients), self.projections.shape[1])
        active = partial(smoothed_relu, power=self.network.power, threshold=self.network.threshold)
        table = torch.stack([active(self.projections * weight).sum(2) for weight in weights], -1)
        chosen = one_hot(places + 1, len(weights) + 1)[..., 1:].to(table).flatten(-2)
        return chosen @ table.flatten(-2).mT / self.average_of

    def remembered(self) -> Float[Tensor, "members n k"]:
        """The share of the noise patches in the logits of each training point."""
        active = smoothed_relu(self.memory, power=self.network.power, threshold=self.network.threshold)
        total: Tensor = active.sum(-1) / self.average_of
        return total

    def train_logits(self, views: Views, /) -> Float[Tensor, "members n k"]:
        """The logits of the training points: features and memory."""
        return self.logits(views.coefficients) + self.remembered()


@door
def train_limit(
    start: LimitPopulation,
    views: Views,
    /,
    *,
    recipe: Recipe,
    teacher_logits: Float[Tensor, "*members n k"] | None = None,
    temperature: float = 1.0,
    weight: float = 1.0,
    cap: float = math.inf,
) -> LimitPopulation:
    """Full-batch gradient descent on λT²·CE(φ_T(z_t), φ_T(z_s)) + (1−λ)·CE(e_y, φ_1(z_s)), from `start`.

    Args:
        start: where to begin: `limit_start`, `limit_of`, or what an earlier call returned.
        views: the training points.
        recipe: steps and learning rate of gradient descent, ``optimizer="sgd"`` on all points, in float64 or
            float32; what is returned is float64.
        teacher_logits: z_t, shared by all members or each member's own; None trains on the labels alone.
        temperature: T.
        weight: λ of the teacher; of no effect without one.
        cap: both logits are cut off there under the temperature, as Allen-Zhu & Li do with
            exp(min{τ²F, 1}/τ): T = 1/τ and cap = T².

    Raises:
        ValueError: a number is out of its range, the recipe says more than plain gradient descent, there are
            other points than the start was made for, a label is no class, or training diverged.
    """
    recipe.check_honoured("the orthogonal limit")
    check_positive("temperature", temperature)
    check_fraction("weight", weight)
    if not cap > 0:
        raise ValueError(f"cap = {cap} must be greater than 0; leave it out for logits as they are")
    members, n, k = start.counts.shape
    check_views(start, views)
    labels = one_hot(views.labels.cpu().long(), k).double()
    share, probs = 0.0, labels.expand(members, n, k)
    if teacher_logits is not None:
        if teacher_logits.shape not in ((n, k), (members, n, k)):
            raise ValueError(
                f"teacher_logits has shape {tuple(teacher_logits.shape)}; give {n} × {k}, or "
                f"{members} × {n} × {k}"
            )
        check_logits("teacher_logits", teacher_logits)
        share = weight
        probs = (teacher_logits.cpu().double().clamp_max(cap) / temperature).softmax(-1).expand(members, n, k)
    dtype, steps = recipe.dtype or torch.float64, recipe.steps_for(n)
    weights, places = _places(views.coefficients.cpu())
    present = one_hot(places + 1, len(weights) + 1)[..., 1:].flatten(-2)
    network, (channels, longest) = start.network, (start.projections.shape[2], start.memory.shape[-1])
    projections = _filled(start.projections.cpu().permute(0, 3, 1, 2).to(dtype))
    memory, lengths = _filled(start.memory.cpu().to(dtype)), (start.counts.cpu() + LANES - 1) // LANES * LANES
    present, weights, labels, probs = (
        array.to(dtype).contiguous() for array in (present, weights, labels, probs)
    )

    def work(member: int) -> None:
        descend(
            projections[member].numpy(),
            memory[member].numpy(),
            lengths[member].numpy(),
            present.numpy(),
            weights.numpy(),
            labels.numpy(),
            probs[member].numpy(),
            share,
            float(temperature),
            float(cap),
            network.power,
            network.threshold,
            start.noise_norm**2,
            1.0 / start.average_of,
            float(recipe.learning_rate),
            steps,
        )

    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        list(threads.map(work, range(members)))
    if not bool(projections.isfinite().all() and memory.isfinite().all()):
        raise ValueError(f"learning_rate = {recipe.learning_rate:g}: training diverged; take a smaller one")
    return replace(
        start,
        projections=projections[..., :channels].permute(0, 2, 3, 1).double().contiguous(),
        memory=memory[..., :longest].double().contiguous(),
    )


def _filled(products: Float[Tensor, "*shape all"]) -> Float[Tensor, "*shape more"]:
    """A copy, filled up with zeros to a multiple of `LANES`."""
    return pad(products, (0, -products.shape[-1] % LANES)).clone(memory_format=torch.contiguous_format)


@door
def limit_start(
    network: PatchNetwork,
    views: Views,
    /,
    *,
    noise_norm: float,
    members: int,
    stream: Stream,
    average_of: int = 1,
) -> LimitPopulation:
    """Fresh networks: products with features N(0, init_std²), with noise patches N(0, init_std²s²).

    Args:
        network: its number of patches minus the number of features is P′.
        views: the training points, n × F coefficients.
        noise_norm: s.
        members: how many; member i is drawn from `stream.child(i)`.
        stream: where they come from.
        average_of: N: one member is the average of N networks, N·C channels, trained as one.

    Raises:
        ValueError: a power above 8, no noise patch, or a number out of its range.
    """
    n, features = _check_start(network, views)
    check_positive("noise_norm", noise_norm)
    check_at_least("members", members, 1)
    check_at_least("average_of", average_of, 1)
    channels, noise_patches = average_of * network.channels, network.num_patches - features
    projections, memory, k = [], [], network.num_classes
    for member in range(members):
        generator = stream.child(member).torch()
        projections.append(torch.randn(k, channels, features, dtype=torch.float64, generator=generator))
        drawn = torch.randn(n, k, channels * noise_patches, dtype=torch.float64, generator=generator)
        memory.append(_positive(drawn))
    packed, counts = _packed(memory)
    std = network.init_std
    return LimitPopulation(
        network, noise_norm, std * torch.stack(projections), std * noise_norm * packed, counts, average_of
    )


@door
def limit_of(
    network: PatchNetwork,
    params: Float[Tensor, "members size"],
    inputs: Float[Tensor, "n pd"],
    views: Views,
    /,
    *,
    noise_norm: float,
) -> LimitPopulation:
    """Networks in R^d by their products with the features and with the noise patches of their inputs.

    Training from here in the limit is what training in R^d would be, were the patches exactly orthogonal
    and of norm s.

    Raises:
        ValueError: as `limit_start`, or the inputs are not those of the network, one for each of the views.
    """
    n, features = _check_start(network, views)
    if inputs.shape != (n, *network.input_shape):
        raise ValueError(
            f"inputs have shape {tuple(inputs.shape)}; give {n} rows of {network.input_shape[0]} numbers, "
            "the inputs of the network whose features the views are"
        )
    check_at_least("members", len(params), 1)
    check_positive("noise_norm", noise_norm)
    weight = network.unpack(params.double())["weight"]
    noise = inputs.double().unflatten(-1, (network.num_patches, -1))[:, features:]
    products = torch.einsum("mkrd,npd->mnkrp", weight, noise).flatten(-2)
    packed, counts = _packed([_positive(rows) for rows in products])
    return LimitPopulation(network, noise_norm, weight[..., :features].contiguous(), packed, counts)


def check_views(start: LimitPopulation, views: Views) -> None:
    """The points are as many as those that the start was made for, and their labels are classes."""
    _, n, k = start.counts.shape
    made_for = (n, start.projections.shape[-1])
    if views.coefficients.shape != made_for:
        found = tuple(views.coefficients.shape)
        raise ValueError(f"views are {found} coefficients; the start was made for {made_for}")
    check_labels("views.labels", views.labels, k)


def _check_start(network: PatchNetwork, views: Views) -> tuple[int, int]:
    if views.coefficients.ndim != 2:
        raise ValueError(
            f"views has coefficients of shape {tuple(views.coefficients.shape)}; give one sample, n × F"
        )
    n, features = views.coefficients.shape
    if network.power > _LARGEST_POWER:
        raise ValueError(f"power = {network.power} is more than {_LARGEST_POWER}; take a smaller one")
    if network.num_patches <= features:
        raise ValueError(
            f"num_patches = {network.num_patches} leaves no noise patch beside {features} features"
        )
    return n, features


def _positive(products: Float[Tensor, "n k all"]) -> tuple[Tensor, Tensor]:
    """The positive products first, zeros for the others, no longer than need be; and how many there are."""
    products = products.cpu()
    kept = products.new_empty(*products.shape[:2], products.shape[2] + 1)
    counts = torch.empty(products.shape[:2], dtype=torch.int64)
    pack(products.contiguous().numpy(), kept.numpy(), counts.numpy())
    return kept[..., : max(1, int(counts.max()))], counts


def _packed(memory: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    longest = max(rows.shape[-1] for rows, _ in memory)
    packed = torch.stack([pad(rows, (0, longest - rows.shape[-1])) for rows, _ in memory])
    return packed, torch.stack([counts for _, counts in memory])


def _places(coefficients: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct positive weights, and where each coefficient is among them; −1 for a weight of 0."""
    if not bool(((coefficients >= 0) & (coefficients < math.inf)).all()):
        raise ValueError(
            "coefficients holds a weight that is negative or not finite; features weigh 0 or more"
        )
    weights = coefficients.double().unique()
    weights = weights[weights > 0]
    places = torch.searchsorted(weights, coefficients.double().contiguous())
    return weights, torch.where(coefficients > 0, places, -1)
