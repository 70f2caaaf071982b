"""Layers by path: what is recorded is what the layer said, with gradients, and no hook stays behind."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from kdtheory.networks import layer, recorded


class Block(nn.Module):
    """A residual block that works in place, as torchvision's do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.bn = nn.BatchNorm2d(2)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.bn(self.conv(self.relu(x + 0)))
        out += x
        return self.relu(out)


def net() -> nn.Module:
    made = nn.Sequential()
    made.layer1 = nn.Sequential(Block(), Block())
    return made.double()


def hooks(module: nn.Module) -> int:
    return sum(len(part._forward_hooks) for part in module.modules())


def test_the_output_before_a_later_layer_changed_it_in_place():
    module, x = net().eval(), torch.randn(3, 2, 4, 4, dtype=torch.float64, generator=torch.Generator())
    with recorded(module, ["layer1.0.bn", "layer1.0", "", "layer1.1.relu"]) as said:
        logits = module(x)
    block = module.layer1[0]
    torch.testing.assert_close(said["layer1.0.bn"], block.bn(block.conv(block.relu(x + 0))))
    torch.testing.assert_close(said["layer1.0"], block(x))
    torch.testing.assert_close(said[""], logits)
    torch.testing.assert_close(said["layer1.1.relu"], logits)  # called twice: the last call is kept
    assert hooks(module) == 0


def test_gradients_flow_through_what_was_recorded():
    module = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    with recorded(module, ["1"]) as said:
        module(torch.ones(4, 2))
    said["1"].sum().backward()
    assert module[0].weight.grad is not None
    assert module[2].weight.grad is None


def test_no_hook_is_left_when_the_block_fails():
    module = nn.Sequential(nn.Linear(2, 3))
    with pytest.raises(RuntimeError), recorded(module, ["0"]):
        module(torch.ones(1, 5))
    with pytest.raises(ValueError, match="not known"), recorded(module, ["0", "nowhere"]):
        pass
    assert hooks(module) == 0


def test_unknown_paths_name_the_nearest():
    with pytest.raises(ValueError, match=r"layer 'layer1\.0\.bn2' is not known.*'layer1\.0\.bn'"):
        layer(net(), "layer1.0.bn2")
    with pytest.raises(ValueError, match="it has no submodules"):
        layer(nn.Linear(1, 1), "relu")


@pytest.mark.parametrize(("path", "shape"), [("[0]", (4, 3)), ("[1][0]", (1, 3))])
def test_a_part_of_an_output_is_named_behind_the_path(path: str, shape: tuple[int, ...]):
    module = nn.LSTM(2, 3)
    with recorded(module, [path]) as said:
        module(torch.ones(4, 2))
    assert said[path].shape == shape


@pytest.mark.parametrize(
    ("path", "message"), [("[2]", "no '2'"), ("[name]", "no 'name' in its output, which has a")]
)
def test_a_part_that_is_not_there_is_refused(path: str, message: str):
    module = nn.LSTM(2, 3)
    with recorded(module, [path]), pytest.raises(ValueError, match=message):
        module(torch.ones(4, 2))


def test_an_output_that_is_no_tensor_is_named():
    module = nn.LSTM(2, 3)
    with (
        pytest.raises(ValueError, match="layer '' gives a tuple, not a tensor"),
        recorded(module, [""]),
    ):
        module(torch.ones(4, 1, 2))


class Shared(nn.Module):
    """One ReLU under two names, and a layer that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.idle = nn.Linear(2, 3), nn.Linear(3, 3), nn.Linear(3, 3)
        self.act1 = self.act2 = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act2(self.second(self.act1(self.first(x))))


def test_a_module_at_two_places_is_found_at_both_and_says_what_it_said_last():
    module = Shared()
    with recorded(module, ["act1", "act2", "second"]) as said:
        logits = module(torch.ones(4, 2))
    torch.testing.assert_close(said["act1"], logits)
    torch.testing.assert_close(said["act2"], logits)
    torch.testing.assert_close(said["second"].relu(), logits)


def test_a_layer_that_is_not_called_is_named():
    module = Shared()
    with recorded(module, ["idle"]) as said:
        module(torch.ones(4, 2))
    with pytest.raises(ValueError, match="layer 'idle' took no part in the forward pass"):
        said["idle"]
