"""Memory does not grow with the number of points: what is too much at once is done in pieces."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from kdtheory.losses import distillation
from kdtheory.networks import MLP, Architecture, ModuleArchitecture
from kdtheory.populations import _groups, train
from kdtheory.recipe import Recipe
from kdtheory.streams import Stream


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 3, 3)), nn.Conv2d(1, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)
    )


ARCHITECTURES = {"mlp": MLP((9, 7, 3)), "module": ModuleArchitecture(convolutional, input_shape=(9,))}


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("own", [False, True])
def test_pieces_give_what_the_whole_gives(name: str, own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    architecture, generator = ARCHITECTURES[name], torch.Generator().manual_seed(0)
    x = torch.randn((2, 50, 9) if own else (50, 9), generator=generator)
    y = torch.randint(3, x.shape[:-1], generator=generator)
    probs = torch.randn(*x.shape[:-1], 3, generator=generator).softmax(-1)
    recipe = Recipe(steps=4, learning_rate=0.05, batch_size=8, weight_decay=0.01)

    def trained() -> tuple[torch.Tensor, ...]:
        found = train(
            architecture, x, y, teacher_probs=probs, loss=distillation, members=2, stream=Stream(1),
            recipe=recipe, settings={"temperature": 2.0, "weight": 0.5}, device="cpu",
        )  # fmt: skip
        return found.params, found.last_loss, found.gradient_norm, found.logits(x)

    asked: list[int] = []
    whole = trained()
    monkeypatch.setattr(_groups, "_WHOLE_NUMBERS", 11 * 2 * architecture.activations)
    watched(architecture, asked, monkeypatch)
    pieces = trained()
    assert torch.equal(whole[0], pieces[0])
    for one, other in zip(whole[1:], pieces[1:], strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-6)
    assert asked
    assert max(asked) <= 22


def watched(architecture: Architecture, asked: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Notes how many points each forward pass is asked for."""
    before = type(architecture).logits

    def logits(self: Architecture, params: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        asked.append(inputs.shape[-2])
        return before(self, params, inputs)

    monkeypatch.setattr(type(architecture), "logits", logits)
