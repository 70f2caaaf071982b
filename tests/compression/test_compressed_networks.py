"""Networks made smaller: the same function at full size, the right shapes, masks that hold, honest bounds."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from kdtheory.compression import (
    factorise,
    kept_weights,
    model_size,
    narrow,
    neyshabur18_perturbation,
    predictions_unchanged,
    pruned,
    truncated_svd,
)
from kdtheory.networks import MLP
from kdtheory.populations import train
from kdtheory.recipe import Recipe
from kdtheory.streams import Stream


@pytest.fixture(scope="module")
def convolutional() -> nn.Module:
    with Stream(0).child("convolutional").default():
        return nn.Sequential(
            nn.Conv2d(2, 6, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(6, 8, 3, padding=1, dilation=1, padding_mode="circular", bias=False),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(8 * 16, 5),
        ).double()


def images(count: int = 4) -> torch.Tensor:
    return torch.randn(count, 2, 8, 8, dtype=torch.float64, generator=Stream(1).torch())


def test_full_rank_is_the_same_function(convolutional: nn.Module) -> None:
    small = factorise(convolutional, ranks={"0": 6, "2": 8, "5": 5})
    assert torch.allclose(small(images()), convolutional(images()), atol=1e-12)
    assert isinstance(convolutional[0], nn.Conv2d)  # the argument is left alone


def test_low_rank_layers_are_the_truncated_svd(convolutional: nn.Module) -> None:
    small = factorise(convolutional, ranks=2)
    rival = [layer.weight.detach() for layer in convolutional if hasattr(layer, "weight")]
    x = images()
    for place, weight in zip((0, 2, 5), rival, strict=True):
        near = truncated_svd(weight.flatten(1), rank=2).reshape(weight.shape)
        layer = convolutional[place]
        with torch.no_grad():
            whole = torch.func.functional_call(layer, {"weight": near}, (x,))
        assert torch.allclose(small[place](x), whole, atol=1e-12)
        x = convolutional[place](x).relu() if place < 5 else x
        x = x.flatten(1) if place == 2 else x
    # r(m + n) each, and the biases of the first and the last.
    assert model_size(small).parameters == 2 * (6 + 18) + 6 + 2 * (8 + 54) + 2 * (5 + 128) + 5


def test_a_single_layer_and_a_nested_one() -> None:
    layer = nn.Linear(30, 20)
    assert isinstance(factorise(layer, ranks={"": 3}), nn.Sequential)
    nested = nn.ModuleDict({"block": nn.Sequential(nn.Linear(30, 20))})
    assert len(list(factorise(nested, ranks={"block.0": 3}).parameters())) == 3
    assert isinstance(factorise(nn.Linear(3, 3), ranks=2), nn.Linear)  # 12 > 9: not fewer


def test_masks_hold_in_training_and_are_the_smallest() -> None:
    architecture = MLP((6, 10, 3))
    module = architecture.module(architecture.init(Stream(0), members=1), 0)
    small = pruned(module, sparsity=0.8)
    weights = torch.cat([module[0].weight.flatten(), module[2].weight.flatten()]).detach().abs()
    left = torch.cat([small[0].weight_mask.flatten(), small[2].weight_mask.flatten()]).bool()
    assert int(left.sum()) == 18
    assert float(weights[left].min()) > float(weights[~left].max())
    x = torch.randn(20, 6, generator=Stream(1).torch())
    optimizer = torch.optim.Adam(small.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        small(x).square().mean().backward()
        optimizer.step()
    assert model_size(small).nonzero == 18 + 13
    permanent = pruned(module, sparsity=0.8, held=False)
    assert not list(permanent.buffers())
    assert int((permanent[0].weight == 0).sum() + (permanent[2].weight == 0).sum()) == 72


def test_a_pruned_population_is_the_plain_loop_with_torchs_masks() -> None:
    architecture = MLP((6, 10, 3))
    generator = Stream(3).torch()
    x, y = torch.randn(20, 6, generator=generator), torch.randint(3, (20,), generator=generator)
    start = architecture.init(Stream(2), members=2)
    modules = [pruned(architecture.module(start, member), sparsity=0.7) for member in range(2)]
    masks = []
    for module in modules:
        state = {f"{place}.weight": module[place].weight_mask for place in (0, 2)}
        state |= {f"{place}.bias": torch.ones_like(module[place].bias) for place in (0, 2)}
        masks.append(architecture.pack(state).bool())
    kept = kept_weights(architecture, start, share=0.3)
    assert torch.equal(kept, torch.stack(masks))
    settings = Recipe(steps=50, learning_rate=0.05, weight_decay=0.01)

    def loss(logits, _probs, labels):
        return -logits.log_softmax(-1).gather(-1, labels[..., None])[..., 0]

    population = train(
        architecture, x, y, loss=loss, members=2, stream=Stream(0), initial=start, kept=kept, recipe=settings
    )
    assert bool((population.params[~kept] == 0).all())
    for member, module in enumerate(modules):
        optimizer = torch.optim.Adam(module.parameters(), lr=0.05, weight_decay=0.01)
        for _ in range(50):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(x), y).backward()
            optimizer.step()
        assert torch.allclose(population.logits(x)[member], module(x), atol=1e-4)
    with pytest.raises(ValueError, match="kept"):
        train(architecture, x, y, loss=loss, members=2, stream=Stream(0), kept=kept[:1], recipe=settings)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_narrow_is_the_pruned_net_without_its_dead_units(activation: str) -> None:
    architecture = MLP((6, 12, 8, 3), activation=activation)
    module = architecture.module(architecture.init(Stream(4), members=1), 0)
    dead = pruned(module, sparsity=0.5, structured=True)
    small = narrow(module, widths=[6, 4])
    x = torch.randn(20, 6, generator=Stream(5).torch())
    assert torch.allclose(small(x), dead(x), atol=1e-6)
    assert model_size(small).parameters == MLP((6, 6, 4, 3)).size


def test_perturbation_bounds_hold_and_are_attained_on_aligned_layers() -> None:
    generator = Stream(6).torch()
    weights = [
        torch.randn(*shape, dtype=torch.float64, generator=generator) for shape in ((9, 5), (9, 9), (3, 9))
    ]
    x = torch.randn(50, 5, dtype=torch.float64, generator=generator)
    x = x / x.norm(dim=1, keepdim=True)

    def net(layers: list[torch.Tensor]) -> torch.Tensor:
        hidden = x
        for layer in layers[:-1]:
            hidden = (hidden @ layer.mT).relu()
        return hidden @ layers[-1].mT

    for scale in (1e-6, 0.01, 0.3, 5.0):
        changes = (
            [scale * torch.randn_like(weight) for weight in weights]
            if scale < 0
            else [scale * weight.roll(1, 0) for weight in weights]
        )
        bound = neyshabur18_perturbation(weights, changes, input_norm=1.0)
        moved = net([w + u for w, u in zip(weights, changes, strict=True)]) - net(weights)
        assert float(moved.norm(dim=1).max()) <= bound.refined
        assert bound.assumption_met == (scale <= 1 / 3)
        if bound.assumption_met:
            assert bound.refined <= bound.value
    ones = [torch.ones(1, 1)] * 3
    attained = neyshabur18_perturbation(ones, [0.5 * one for one in ones], input_norm=1.0)
    assert abs(attained.refined - (1.5**3 - 1)) < 1e-12


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda net: factorise(net, ranks={"1": 2}), "'1'"),
        (lambda net: factorise(net, ranks={"0": 0}), "rank"),
        (lambda net: factorise(net, ranks={"0": 99}), "rank"),
        (lambda net: factorise(nn.Conv2d(4, 4, 1, groups=2), ranks={"": 1}), "groups"),
        (lambda net: pruned(net, sparsity=1.5), "sparsity"),
        (lambda net: pruned(nn.ReLU(), sparsity=0.5), "no layer to prune"),
        (lambda net: pruned(net, sparsity=0.5, layers=["7"]), "'7'"),
        (lambda net: narrow(net, widths=[1, 1]), "widths"),
        (lambda net: narrow(net, widths=[99]), "widths"),
        (lambda net: narrow(nn.Sequential(net[0], nn.Sigmoid(), net[2]), widths=[2]), "Sigmoid"),
        (lambda net: neyshabur18_perturbation([], [], input_norm=1.0), "layers"),
        (lambda net: neyshabur18_perturbation([torch.eye(2)], [], input_norm=1.0), "perturbations"),
        (lambda net: neyshabur18_perturbation([torch.zeros(2, 2)], [torch.eye(2)], input_norm=1.0), "norm"),
    ],
)
def test_bad_input_is_named(call, named: str, unchecked_shapes: None) -> None:
    architecture = MLP((4, 6, 3))
    net = architecture.module(architecture.init(Stream(0), members=1), 0)
    with pytest.raises(ValueError, match=named):
        call(net)


@pytest.mark.parametrize("depth", [1, 2, 4, 10])
def test_lemma_2_asks_for_a_change_of_one_part_in_the_depth_in_every_layer(depth: int) -> None:
    ones = [torch.eye(1, dtype=torch.float64)] * depth
    for worst in range(depth):
        for share, met in ((1 / depth, True), (1.001 / depth, False), (0.999 / depth, True)):
            changes = [(share if layer == worst else 0.5 / depth) * one for layer, one in enumerate(ones)]
            assert neyshabur18_perturbation(ones, changes, input_norm=1.0).assumption_met is met


def test_where_lemma_2_says_that_it_holds_it_does_and_far_outside_it_does_not() -> None:
    # Aligned layers (numbers): the output goes from Πw to Πw(1 + t), which no bound may be below.
    for depth in (1, 2, 3, 10, 30):
        weights = [torch.full((1, 1), 1.5, dtype=torch.float64)] * depth
        for share in (0.01, 0.9 / depth, 1 / depth, 2 / depth, 0.5, 0.9, 1.0):
            bound = neyshabur18_perturbation(weights, [share * w for w in weights], input_norm=2.0)
            moved = 2.0 * 1.5**depth * ((1 + share) ** depth - 1)
            assert bound.refined == pytest.approx(moved, rel=1e-9)
            assert bound.assumption_met == (bound.ratios[0] <= 1 / depth)
            if bound.assumption_met:
                assert moved <= bound.value
    assert moved > 100 * bound.value  # thirty layers that change by all of themselves


def test_a_perturbation_bound_is_linear_in_its_input_and_counts_every_layer() -> None:
    weights = [torch.diag(torch.tensor([2.0, 1.0])).double(), torch.diag(torch.tensor([0.5, 4.0])).double()]
    changes = [torch.diag(torch.tensor([0.0, 0.5])).double(), torch.diag(torch.tensor([1.0, 0.0])).double()]
    one, three = (neyshabur18_perturbation(weights, changes, input_norm=size) for size in (1.0, 3.0))
    assert one.ratios == pytest.approx((0.25, 0.25))
    assert one.norm_product == pytest.approx(8.0)
    assert one.value == pytest.approx(torch.e * 8.0 * 0.5)
    assert one.refined == pytest.approx(8.0 * (1.25**2 - 1))
    assert (three.value, three.refined) == pytest.approx((3 * one.value, 3 * one.refined))


def test_a_tie_is_never_safe() -> None:
    logits = torch.tensor([[1.0, 1.0, 0.0], [2.0, 0.0, 0.0]], dtype=torch.float64)
    assert predictions_unchanged(logits, change=0.0).tolist() == [False, True]
    change = 2.0 / 2**0.5
    assert predictions_unchanged(logits, change=change * (1 + 1e-12)).tolist() == [False, False]
    assert predictions_unchanged(logits, change=change * (1 - 1e-12)).tolist() == [False, True]
