"""Layers of trained nets made smaller: by rank, pruning or small changes; and nets distilled afterwards."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.compression.low_rank import eckart_young_error, truncated_svd
from kdtheory.compression.perturbation import neyshabur18_perturbation
from kdtheory.compression.sparse import best_sparse, kept_weights, sparse_error
from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.losses import distillation, label_loss
from kdtheory.networks import MLP
from kdtheory.populations import Population, train
from kdtheory.recipe import Recipe
from kdtheory.risk import accuracy
from kdtheory.search import worst_case


def _label_trained(
    run: Run, hidden: tuple[int, ...], x: Tensor, y: Tensor, *, members: int, bias: bool = True
) -> Population:
    return train(
        MLP((x.shape[-1], *hidden, run.images.num_classes), bias=bias),
        x,
        y,
        loss=label_loss,
        members=members,
        stream=run.stream.child("nets"),
        recipe=Recipe(steps=150, learning_rate=0.01),
        device=run.device,
    )


@experiment
def layers_of_trained_nets(run: Run, /) -> Rows:
    """Both layers (32 hidden units) of 4 nets trained on 1,000 real images."""
    images = run.images
    nets = _label_trained(run, (32,), images.inputs[:1000], images.labels[:1000], members=4)
    layers = nets.architecture.unpack(nets.params.double().cpu())
    return Rows(first=layers["0.weight"], second=layers["2.weight"])


@experiment
def layers_of_low_rank(run: Run, /, *, seen: float = 1.0) -> Rows:
    """First layers of 4 trained nets minus the best approximations of rank 1, 4 and 16, found in coordinates
    turned at random, of which a share is seen: Frobenius and spectral norms, measured and by the singular
    values.
    """
    first = layers_of_trained_nets.rows(run).first
    pixels = first.shape[-1]
    generator = run.stream.torch()
    turned = torch.linalg.qr(torch.randn(pixels, pixels, dtype=first.dtype, generator=generator)).Q
    turned = turned[:, : round(seen * pixels)]
    missed, told = [], []
    for rank in (1, 4, 16):
        off = first - truncated_svd(first @ turned, rank=rank) @ turned.mT
        missed += [off.flatten(1).norm(dim=1), torch.linalg.matrix_norm(off, ord=2)]
        told += [eckart_young_error(first, rank=rank, norm=norm) for norm in ("frobenius", "spectral")]
    return Rows(missed=torch.cat(missed), told=torch.cat(told))


@experiment
def searched_factors(run: Run, /) -> Rows:
    """The least error of rank 2 over that which a search from 8 random pairs of factors finds, for the second
    layer of a trained net, in the Frobenius norm.
    """
    weight = layers_of_trained_nets.rows(run).second[0]
    rows, columns = weight.shape
    best, attempts = float(eckart_young_error(weight, rank=2)), run.size(quick=8, full=64)
    starts = torch.randn(attempts, 2 * (rows + columns), dtype=torch.float64, generator=run.stream.torch())

    def ratio(points: Tensor) -> Tensor:
        left = points[:, : 2 * rows].unflatten(1, (rows, 2))
        right = points[:, 2 * rows :].unflatten(1, (2, columns))
        share: Tensor = best / (weight - left @ right).flatten(1).norm(dim=1)
        return share

    found = worst_case(ratio, 0.3 * starts, steps=300, learning_rate=0.05, polished=1)
    return Rows(ratio=found.ratio, attempts=attempts)


@experiment
def pruned_layers(run: Run, /, *, moved: int = 0) -> Rows:
    """The Frobenius norm of what pruning takes from first layers of 4 trained nets: from blocks of 3 × 4,
    beside the least over every mask with 1 to 11 entries, and from whole layers, beside the least over 200
    random masks at 10, 50 and 90 per cent; and what the library says. An entry is ranked by the one `moved`
    places before it.
    """
    generator = run.stream.torch()
    masks = torch.cartesian_prod(*[torch.arange(2)] * 12)  # of what is taken away
    taken = masks.sum(1)
    pruned, best, told = [], [], []
    for weight in layers_of_trained_nets.rows(run).first:
        active = weight[:, weight.abs().sum(0).argsort(descending=True)]  # pixels that are never dark first
        block, size = active[:3, :4], weight.numel()
        norms = (masks.to(weight) @ block.reshape(-1).square()).sqrt()
        for kept in range(1, 12):
            pruned.append(_miss(block, kept, moved))
            told.append(sparse_error(block, kept=kept))
            best.append(norms[taken == 12 - kept].min())
        squares = weight.reshape(-1).square()
        for kept in (round(share * size) for share in (0.1, 0.5, 0.9)):
            pruned.append(_miss(weight, kept, moved))
            told.append(sparse_error(weight, kept=kept))
            outs = [torch.randperm(size, generator=generator)[kept:] for _ in range(200)]
            best.append(squares[torch.stack(outs)].sum(1).min().sqrt())
    columns = {"pruned": pruned, "best": best, "told": told}
    return Rows(**{name: torch.stack(values) for name, values in columns.items()})


def _miss(weight: Tensor, kept: int, moved: int) -> Tensor:
    taken: Tensor = weight[best_sparse(weight.roll(moved, -1), kept=kept) == 0].norm()
    return taken


@experiment
def perturbed_relu_nets(run: Run, /, *, size: float = 1.0) -> Rows:
    """Moves of the outputs of ReLU nets, beside Lemma 2 and the refined product ‖x‖Π‖W_i‖(Π(1+t_i) − 1):
    4 nets of 3 layers trained on real images, changed by low rank, pruning, rounding, random matrices and U_i
    = W_i/L, the first four scaled down where they are larger than that (all `size` times as large), and
    chains of rank one; and chains of 200 layers beside Lemma 2.
    """
    images = run.images
    nets = _label_trained(run, (32, 32), images.inputs[:1000], images.labels[:1000], members=4, bias=False)
    inputs = images.inputs[:500].double()
    moves, deep = [], []
    for member, params in enumerate(nets.params.double().cpu()):
        weights = list(nets.architecture.unpack(params).values())
        generator = run.stream.child("changes", member).torch()
        moves += [_moved(weights, changes, inputs) for changes in _changes(weights, generator, size)]
        chain, start = _chain(generator, 3), torch.ones(1, 5, dtype=torch.float64)
        moves.append(_moved(chain, [size * weight / 3 for weight in chain], start))
        chain = _chain(generator, 200)
        deep.append(_moved(chain, [weight / 200 for weight in chain], start))
    moved, bound, refined = torch.tensor(moves, dtype=torch.float64).unbind(1)
    deep_moved, deep_bound, _ = torch.tensor(deep, dtype=torch.float64).unbind(1)
    return Rows(
        moved=moved, bound=bound, refined=refined, deep_moved=deep_moved, deep_bound=deep_bound, size=size
    )


def _changes(weights: list[Tensor], generator: torch.Generator, size: float) -> list[list[Tensor]]:
    """U_i of every kind, each of a spectral norm of at most size·‖W_i‖/L; random ones have that norm."""
    norms = [torch.linalg.matrix_norm(weight, ord=2) for weight in weights]
    own = list(zip(weights, norms, strict=True))
    kinds = [
        [truncated_svd(weight, rank=max(1, min(weight.shape) // 2)) - weight for weight in weights],
        [best_sparse(weight, kept=weight.numel() // 4) - weight for weight in weights],
        [(16 * weight / norm).round() * norm / 16 - weight for weight, norm in own],
        [1e6 * torch.randn(weight.shape, dtype=weight.dtype, generator=generator) for weight in weights],
    ]
    scaled = [
        [
            change * (size * norm / len(weights) / torch.linalg.matrix_norm(change, ord=2)).clamp_max(1)
            for change, norm in zip(kind, norms, strict=True)
        ]
        for kind in kinds
    ]
    return [*scaled, [size * weight / len(weights) for weight in weights]]


def _chain(generator: torch.Generator, layers: int) -> list[Tensor]:
    """Layers c·1·1ᵀ/5, which pass the vector of ones on as c times itself."""
    levels = (torch.rand(layers, dtype=torch.float64, generator=generator) + 0.5).tolist()
    return [level * torch.ones(5, 5, dtype=torch.float64) / 5 for level in levels]


def _moved(weights: list[Tensor], changes: list[Tensor], inputs: Tensor) -> tuple[float, float, float]:
    """The move of the input that moves most for its norm, the bound on it, and the refined one."""
    changed = [weight + change for weight, change in zip(weights, changes, strict=True)]
    moves = (_relu_net(changed, inputs) - _relu_net(weights, inputs)).norm(dim=1)
    norms = inputs.norm(dim=1)
    worst = int((moves / norms).argmax())
    bound = neyshabur18_perturbation(weights, changes, input_norm=float(norms[worst]))
    return float(moves[worst]), bound.value, bound.refined


def _relu_net(layers: list[Tensor], inputs: Tensor) -> Tensor:
    for layer in layers[:-1]:
        inputs = (inputs @ layer.mT).relu()
    return inputs @ layers[-1].mT


def trained_parameters(nets: Population, _start: Tensor, /) -> Tensor:
    """The parameters of the nets."""
    return nets.params


def untrained_parameters(_nets: Population, start: Tensor, /) -> Tensor:
    """The parameters of other nets at their start."""
    return start


@experiment(tuned_on=(0, 1, 2, 3, 4))
def distilled_after_pruning(
    run: Run,
    /,
    *,
    teacher: Callable[[Population, Tensor], Tensor] = trained_parameters,
    share: float = 0.1,
) -> Rows:
    """8 nets of 64 ReLU units trained on the labels of 400 real images, pruned by magnitude to a share of
    their weights, and distilled on the same images at temperature 2 from a teacher alone with their zeros
    held: accuracies at the last step on the other images (2,000 at most), and the last gradient norm.
    """
    members, images = run.size(quick=8, full=40), run.images
    order = torch.randperm(images.num_images, generator=run.stream.child("split").torch())
    seen, fresh = order[:400], order[400:2400]
    x, test, labels = images.inputs[seen], images.inputs[fresh], images.labels[fresh]
    nets = _label_trained(run, (64,), x, images.labels[seen], members=members)
    kept = kept_weights(nets.architecture, nets.params, share=share)
    start = nets.architecture.init(run.stream.child("untrained"), members=members).to(nets.params)
    probs = nets.architecture.logits(teacher(nets, start), x.to(start)).softmax(-1)
    students = train(
        nets.architecture,
        x,
        teacher_probs=probs,
        loss=distillation,
        settings={"temperature": 2.0, "weight": 1.0},
        members=members,
        stream=run.stream,
        recipe=Recipe(steps=600, learning_rate=0.02, schedule="cosine"),
        initial=nets.params * kept,
        kept=kept,
        device=run.device,
    )
    before = nets.architecture.logits(nets.params * kept, test.to(nets.params))
    return Rows(
        whole=accuracy(nets.logits(test).cpu(), labels),
        pruned=accuracy(before.cpu(), labels),
        distilled=accuracy(students.logits(test).cpu(), labels),
        gradient=students.gradient_norm,
    )
