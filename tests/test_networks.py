"""Architectures against plain torch modules and against autograd."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import nn

from kdtheory.networks import MLP, Architecture, ModuleArchitecture, PatchNetwork
from kdtheory.streams import Stream


def small_conv() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.GroupNorm(1, 3), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, 4)
    )


ARCHITECTURES: list[Architecture] = [
    MLP((5, 7, 6, 3)),
    MLP((5, 7, 3), activation="tanh", bias=False),
    MLP((5, 7, 3), activation="sigmoid"),
    MLP((5, 7, 4, 3), activation="identity"),
    MLP((5, 3)),
    MLP((5, 1)),
    ModuleArchitecture(small_conv, (1, 6, 6)),
    PatchNetwork(3, 4, 5, channels=2, power=3, threshold=0.5, init_std=0.5),
]


def drawn(architecture: Architecture, *axes: int) -> torch.Tensor:
    generator = Stream(1).child("inputs").torch()
    return torch.randn(*axes, *architecture.input_shape, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("own", [False, True])
def test_logits_are_the_modules(architecture: Architecture, own: bool) -> None:
    params = architecture.init(Stream(0), members=4, dtype=torch.float64)
    inputs = drawn(architecture, 4, 9) if own else drawn(architecture, 9)
    expected = [architecture.module(params, i)(inputs[i] if own else inputs) for i in range(4)]
    torch.testing.assert_close(architecture.logits(params, inputs), torch.stack(expected))
    torch.testing.assert_close(
        architecture.logits(params[2], inputs[2] if own else inputs), expected[2], rtol=1e-12, atol=1e-12
    )
    paired = architecture.logits(params.unflatten(0, (2, 2)), inputs.unflatten(0, (2, 2)) if own else inputs)
    torch.testing.assert_close(paired.flatten(0, 1), torch.stack(expected))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("own", [False, True])
def test_tape_is_autograd(architecture: Architecture, own: bool) -> None:
    params = architecture.init(Stream(0), members=4, dtype=torch.float64)
    inputs = (
        drawn(architecture, 4, 9) if own else drawn(architecture, 9).expand(4, 9, *architecture.input_shape)
    )
    leaf = params.clone().requires_grad_()
    logits = architecture.logits(leaf, inputs)
    pulled = torch.randn(logits.shape, dtype=torch.float64, generator=Stream(2).torch())
    (expected,) = torch.autograd.grad(logits, leaf, pulled)
    gradient = torch.full_like(params, torch.nan)
    tape = architecture.tape(params, gradient)
    for _ in range(2):
        torch.testing.assert_close(tape.forward(tape.prepare(inputs)), logits.detach())
        tape.backward(pulled)
        torch.testing.assert_close(gradient, expected)
    tape.forward(tape.prepare(inputs[:, :5]))
    tape.backward(pulled[:, :5])
    (expected,) = torch.autograd.grad(architecture.logits(leaf, inputs[:, :5]), leaf, pulled[:, :5])
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_member_does_not_depend_on_how_many(architecture: Architecture) -> None:
    many, few = (architecture.init(Stream(3), members=members) for members in (5, 2))
    assert torch.equal(many[:2], few)
    assert len({tuple(row.tolist()) for row in many}) == 5
    assert torch.equal(few, architecture.init(Stream(3), members=2))
    assert not torch.equal(few, architecture.init(Stream(4), members=2))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_pack_is_the_inverse_of_unpack(architecture: Architecture) -> None:
    params = architecture.init(Stream(0), members=3)
    assert torch.equal(architecture.pack(architecture.unpack(params)), params)
    assert torch.equal(architecture.pack(architecture.module(params, 1).state_dict()), params[1])
    named = architecture.unpack(params[0])
    assert set(named) == set(architecture.module(params, 0).state_dict())
    named[next(iter(named))].zero_()
    assert (params[0] == 0).any()


def test_init_does_not_touch_the_default_generator() -> None:
    before = torch.default_generator.get_state()
    for architecture in ARCHITECTURES:
        architecture.init(Stream(0), members=2)
        architecture.module(architecture.init(Stream(0), members=2), 0)
    assert torch.equal(torch.default_generator.get_state(), before)


def test_init_laws() -> None:
    mlp, members = MLP((50, 40, 30)), 200
    for law, variances in {
        "torch": [1 / (3 * 50), 1 / (3 * 40)],
        "he": [2 / 50, 2 / 40],
        "glorot": [2 / 90, 2 / 70],
    }.items():
        named = mlp.unpack(mlp.init(Stream(0), members=members, law=law))
        for name, variance in zip(("0", "2"), variances, strict=True):
            weight, bias = named[f"{name}.weight"], named[f"{name}.bias"]
            assert weight.square().mean().item() == pytest.approx(variance, rel=6 / weight.numel() ** 0.5)
            spread = variance if law == "torch" else 0.0
            assert bias.square().mean().item() == pytest.approx(spread, rel=6 / bias.numel() ** 0.5)


def test_torch_law_is_the_range_of_nn_linear() -> None:
    ours = MLP((50, 40)).init(Stream(0), members=50).abs().max().item()
    theirs = max(p.abs().max().item() for p in nn.Linear(50, 40).parameters())
    assert ours <= 50**-0.5
    assert theirs <= 50**-0.5
    assert min(ours, theirs) > 0.98 * 50**-0.5


def test_an_mlp_survives_pickling() -> None:
    assert pickle.loads(pickle.dumps(MLP((3, 4, 2), activation="tanh"))) == MLP((3, 4, 2), activation="tanh")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MLP((3,)), "widths"),
        (lambda: MLP((3, 0, 2)), "widths = 0"),
        (lambda: MLP((3, 2), activation="step"), "activation = 'step'"),
        (lambda: MLP((3, 2)).init(Stream(0), members=0), "members = 0"),
        (lambda: MLP((3, 2)).init(Stream(0), members=1, law="other"), "law = 'other'"),
        (lambda: ModuleArchitecture(nn.ReLU, (3,)), "without parameters"),
        (lambda: ModuleArchitecture(lambda: nn.BatchNorm1d(3), (3,)), "buffers"),
        (lambda: ModuleArchitecture(half_frozen, (3,)), r"frozen parameters \(0.weight, 0.bias\)"),
        (
            lambda: ModuleArchitecture(lambda: nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5)), (3,)),
            r"draws at random, .*return module.eval\(\)",
        ),
    ],
)
def test_bad_architectures_are_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def half_frozen() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4).requires_grad_(False), nn.Linear(4, 2))


class Wrapped(nn.Module):
    """One logit, squeezed, or logits in a mapping."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(3, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor | dict[str, torch.Tensor]:
        said: torch.Tensor = self.layer(x)
        return said[:, 0] if said.shape[1] == 1 else {"logits": said}


@pytest.mark.parametrize("classes", [1, 2])
def test_members_give_tables_whatever_their_module_gives(classes: int) -> None:
    architecture = ModuleArchitecture(lambda: Wrapped(classes), (3,))
    x = torch.randn(5, 3, generator=Stream(0).torch())
    params = architecture.init(Stream(0), members=2)
    truth = torch.stack([architecture.module(params, member).layer(x) for member in (0, 1)])
    assert torch.allclose(architecture.logits(params, x), truth)
    assert torch.allclose(architecture.logits(params[1], x), truth[1])
    gradient = torch.empty_like(params)
    tape = architecture.tape(params, gradient)
    assert torch.allclose(tape.forward(x.expand(2, -1, -1)), truth)
    tape.backward(torch.ones_like(truth))
    assert torch.allclose(gradient[0, -classes:], torch.full((classes,), 5.0))


def test_tied_members_are_modules_with_ties() -> None:
    def tied() -> nn.Module:
        one, other = nn.Linear(3, 3), nn.Linear(3, 3)
        other.weight = one.weight
        return nn.Sequential(one, nn.Tanh(), other)

    architecture = ModuleArchitecture(tied, (3,))
    params = architecture.init(Stream(0), members=2)
    x = torch.randn(5, 3, generator=Stream(0).torch())
    module = architecture.module(params, 1)
    assert module[0].weight is module[2].weight
    assert torch.allclose(module(x), architecture.logits(params, x)[1])
    assert torch.equal(architecture.pack(module.state_dict()), params[1])


def test_a_module_at_rest_may_have_dropout() -> None:
    architecture = ModuleArchitecture(lambda: nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5)).eval(), (3,))
    params = architecture.init(Stream(0), members=1)
    assert torch.allclose(
        architecture.logits(params, torch.ones(2, 3))[0], architecture.module(params, 0)(torch.ones(2, 3))
    )


def test_a_factory_of_several_shapes_is_refused() -> None:
    widths = iter(range(2, 9))
    architecture = ModuleArchitecture(lambda: nn.Linear(3, next(widths)), (3,))
    with pytest.raises(ValueError, match="factory makes modules of several shapes"):
        architecture.init(Stream(0), members=2)


def test_members_are_planned_under_another_default_dtype() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        assert ModuleArchitecture(lambda: nn.Linear(3, 2), (3,)).activations > 0
    finally:
        torch.set_default_dtype(torch.float32)
