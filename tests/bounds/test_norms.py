"""Norm-based complexities of ReLU nets: sampled nets stay below, small cases come near, grids add to one."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from kdtheory.bounds.norm_margin import bartlett17_margin, golowich18_margin, ramp_loss
from kdtheory.bounds.norms import (
    NetNorms,
    bartlett17_complexity,
    golowich18_relu_net,
    golowich18_vector_relu_net,
    grid_point,
    homogeneous_layers,
    net_norms,
)
from kdtheory.bounds.rademacher import exact_rademacher, finite_class
from kdtheory.streams import Stream


def randn(*shape: int, name: str = "x") -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=Stream(0).child(name).torch())


def a_net() -> nn.Sequential:
    net = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    with torch.no_grad():
        for place, value in enumerate(net.parameters()):
            value.copy_(randn(*value.shape, name=f"layer {place}"))
    return net


def test_norms_by_loops() -> None:
    layers = [randn(4, 3, name="a"), randn(2, 4, name="b")]
    norms = net_norms(layers)
    for place, layer in enumerate(layers):
        assert norms.frobenius[place] == pytest.approx(math.sqrt(sum(float(v) ** 2 for v in layer.flatten())))
        rows = sum(math.sqrt(sum(float(v) ** 2 for v in row)) for row in layer)
        assert norms.rows[place] == pytest.approx(rows)
        assert norms.spectral[place] == pytest.approx(float(torch.linalg.svdvals(layer)[0]))
    assert norms.widths == (3, 4, 2)
    assert norms.depth == 2


def test_homogeneous_layers_are_the_same_net() -> None:
    net, points = a_net(), randn(7, 3)
    linear = [layer for layer in net if isinstance(layer, nn.Linear)]
    layers = homogeneous_layers([layer.weight for layer in linear], [layer.bias for layer in linear])
    hidden = torch.cat([points, torch.ones(7, 1, dtype=torch.float64)], 1)
    for place, layer in enumerate(layers):
        hidden = hidden @ layer.T
        if place < len(layers) - 1:
            hidden = hidden.relu()
    torch.testing.assert_close(hidden, net(points))
    assert net_norms(layers).depth == 3


def test_grid_covers_and_its_weights_add_to_at_most_one() -> None:
    for value in (1e-9, 0.3, 1.0, 2.0, 2.0001, 1e12):
        radius, weight = grid_point(value)
        assert value <= radius <= value * 2**0.25 * (1 + 1e-9)
        assert 0 < weight <= 1
    assert grid_point(16.0) == (16.0, 2 / (3 * 17 * 18))
    total = sum(grid_point(2.0 ** (step / 4))[1] for step in range(-400, 401))
    assert 0.99 < total <= 1


def test_more_grid_points_an_octave_cost_weight_and_save_radius() -> None:
    coarse, fine = grid_point(37.0, per_octave=1), grid_point(37.0, per_octave=16)
    assert fine[0] < coarse[0]
    assert fine[1] < coarse[1]


def planar_units(points: torch.Tensor) -> torch.Tensor:
    angles = torch.linspace(0, 2 * math.pi, 721, dtype=torch.float64)
    return (points @ torch.stack([angles.cos(), angles.sin()])).clamp_min(0).T


def test_frobenius_bound_from_both_sides_in_the_plane() -> None:
    # One hidden layer: the best unit is a single direction, so a fine grid of them is the class.
    points = randn(8, 2)
    units = planar_units(points)
    exact = exact_rademacher(finite_class(6 * torch.cat([units, -units])), 8)
    bound = golowich18_relu_net(norm_product=6.0, input_norm=float(points.norm()), depth=2, n=8)
    assert exact < bound < 5 * exact
    linear = golowich18_vector_relu_net(
        norm_product=6.0, input_norm=float(points.norm()), depth=1, outputs=1, n=8
    )
    assert linear == pytest.approx(6 * float(points.norm()) / 8, rel=1e-12)


@pytest.mark.parametrize("depth", [2, 3])
def test_random_nets_stay_below_the_spectral_and_the_frobenius_bound(depth: int) -> None:
    points, count = randn(10, 3), 400
    generator = Stream(0).child("nets", depth).torch()
    hidden = points.expand(count, 10, 3)
    spectral, ratios = 1.0, []
    for layer in range(depth):
        weight = torch.randn(count, 3, 3, dtype=torch.float64, generator=generator)
        if layer == depth - 1:
            weight = weight[:, :1]
        weight = weight / torch.linalg.matrix_norm(weight)[:, None, None]
        hidden = hidden @ weight.mT
        hidden = hidden.relu() if layer < depth - 1 else hidden
        ratios.append(math.sqrt(3) if layer < depth - 1 else 1.0)
    values = hidden[..., 0]
    exact = exact_rademacher(finite_class(torch.cat([values, -values])), 10)
    size = float(points.norm())
    assert exact < golowich18_relu_net(norm_product=1.0, input_norm=size, depth=depth, n=10)
    # ‖W‖_F = 1 bounds the spectral norm by 1 and the rows' sum by √rows.
    widths = (*(3,) * depth, 1)
    squashed = exact_rademacher(finite_class(torch.cat([values, -values]).clamp(0, 1)), 10)
    bound = bartlett17_complexity(
        spectral_product=spectral, ratios=ratios, widths=widths, input_norm=size, n=10
    )
    assert squashed < bound


def test_spectral_bound_by_its_formula() -> None:
    found = bartlett17_complexity(
        spectral_product=3.0, ratios=[2.0, 5.0], widths=[4, 6, 2], input_norm=7.0, n=100
    )
    inner = (4 * math.log(48)) ** (1 / 3) + (25 * math.log(24)) ** (1 / 3)
    cover = 7 * 3 * inner**1.5
    assert found == pytest.approx(1 / 20 + 2 * math.sqrt(2) * 4 * cover / 100, rel=1e-12)


def test_vector_factor_is_the_integral_it_claims_to_bound() -> None:
    # E Z²/B² ≤ ∫ min(1, 2^{d−1}e^{−u²/2}) d(1+u)², and the closed form is within 25 per cent of its root.
    for depth in (2, 3, 6):
        grid = torch.linspace(0, 30, 300_001, dtype=torch.float64)
        tail = (2 ** (depth - 1) * (-grid.square() / 2).exp()).clamp_max(1)
        second = 1 + float(torch.trapezoid(2 * (1 + grid) * tail, grid))
        factor = golowich18_vector_relu_net(norm_product=1.0, input_norm=1.0, depth=depth, outputs=1, n=1)
        assert math.sqrt(second) < factor < 1.25 * math.sqrt(second)


def test_margin_bounds_add_up_and_read_the_grid() -> None:
    logits = torch.tensor([[3.0, 0.0], [0.0, 1.0]], dtype=torch.float64).repeat(500, 1)
    labels = torch.tensor([0, 0]).repeat(500)
    norms = NetNorms((2.0, 2.0), (1.5, 1.0), (3.0, 2.0), (4, 3, 2))
    settings = {
        "norms": norms,
        "input_norm": 10.0,
        "gamma": 2.0,
        "delta": 0.1,
        "fixed_in_advance": True,
        "independent_draws": True,
    }
    bound = golowich18_margin(logits, labels, **settings)
    assert bound.terms["margin loss"] == pytest.approx(0.5)
    product, share = grid_point(4.0)
    vector = golowich18_vector_relu_net(norm_product=product, input_norm=10.0, depth=2, outputs=2, n=1000)
    assert bound.terms["complexity"] == pytest.approx(4 / 2 * vector, rel=1e-12)
    deviation = 3 * math.sqrt(math.log(2 / (0.1 * share)) / 2000)
    assert bound.terms["deviation"] == pytest.approx(deviation, rel=1e-12)
    assert bound.value == pytest.approx(sum(bound.terms.values()), rel=1e-12)
    assert bound.certificate
    spectral = bartlett17_margin(logits, labels, **settings)
    assert spectral.terms["margin loss"] == bound.terms["margin loss"]
    assert spectral.quantities["weight"] < share


@pytest.mark.parametrize("form", [golowich18_margin, bartlett17_margin])
def test_margin_bounds_are_monotone(form) -> None:
    logits, labels = 5 * torch.eye(2, dtype=torch.float64).repeat(200, 1), torch.tensor([0, 1]).repeat(200)
    norms = NetNorms((2.0, 2.0), (1.5, 1.0), (3.0, 2.0), (4, 3, 2))

    def value(**changes) -> float:
        settings = {
            "norms": norms,
            "input_norm": 10.0,
            "gamma": 2.0,
            "delta": 0.1,
            "fixed_in_advance": True,
            "independent_draws": True,
        }
        return form(logits, labels, **{**settings, **changes}).value

    assert value(delta=0.2) < value() < value(delta=0.01)
    assert value(input_norm=5.0) < value() < value(input_norm=20.0)
    assert value(gamma=4.0) < value()
    assert value(weight=0.1) > value()
    bound = form(
        logits,
        labels,
        norms=norms,
        input_norm=10.0,
        gamma=2.0,
        delta=0.1,
        fixed_in_advance=False,
        independent_draws=True,
    )
    assert bound.kind == "heuristic"
    assert bound.needed is not None


def test_ramp_lies_between_the_two_indicators() -> None:
    margins = torch.linspace(-2, 2, 41, dtype=torch.float64)
    ramp = ramp_loss(margins, gamma=0.7)
    assert bool(((margins <= 0).double() <= ramp).all())
    assert bool((ramp <= (margins < 0.7).double()).all())
    assert float((ramp.diff().abs() / margins.diff()).max()) <= 1 / 0.7 + 1e-12


@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="number of layers = 0"):
        net_norms([])
    with pytest.raises(ValueError, match="none fits"):
        net_norms([torch.ones(2, 3), torch.ones(2, 3)])
    with pytest.raises(ValueError, match="layers holds 1 NaN"):
        net_norms([torch.tensor([[math.nan]])])
    with pytest.raises(ValueError, match="norm of a layer = 0"):
        net_norms([torch.zeros(2, 2)])
    with pytest.raises(ValueError, match="biases"):
        homogeneous_layers([torch.ones(2, 3)], [torch.ones(3)])
    with pytest.raises(ValueError, match="value = 0"):
        grid_point(0.0)
    with pytest.raises(ValueError, match="depth = 0"):
        golowich18_relu_net(norm_product=1.0, input_norm=1.0, depth=0, n=1)
    with pytest.raises(ValueError, match="widths has 2 entries"):
        bartlett17_complexity(spectral_product=1.0, ratios=[1.0, 1.0], widths=[1, 1], input_norm=1.0, n=1)
    norms = NetNorms((1.0,), (1.0,), (1.0,), (2, 2))
    logits, labels = torch.eye(2), torch.tensor([0, 1])
    settings = {
        "norms": norms,
        "input_norm": 1.0,
        "gamma": 1.0,
        "delta": 0.1,
        "fixed_in_advance": True,
        "independent_draws": True,
    }
    for change, named in (({"gamma": 0.0}, "gamma"), ({"delta": 1.0}, "delta"), ({"weight": 2.0}, "weight")):
        with pytest.raises(ValueError, match=named):
            golowich18_margin(logits, labels, **{**settings, **change})
    with pytest.raises(ValueError, match="labels"):
        bartlett17_margin(logits, labels + 1, **settings)
