"""Networks that sum a smoothed ReLU over patches (Allen-Zhu & Li 2020).

Letters: an input is P patches x_p in R^d; class c has C channels of weight w_{c,r} ∈ R^d; a has power q and
threshold ϱ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kdtheory.doors import door
from kdtheory.networks._checks import check_member, check_named, check_own, check_params
from kdtheory.streams import Stream
from kdtheory.types import promoted, resolve_device
from kdtheory.validate import check_at_least, check_positive

__all__ = ["PatchNetwork", "SmoothedPatches", "smoothed_relu", "smoothed_relu_slope"]


@door
def smoothed_relu(z: Float[Tensor, "*shape"], /, *, power: int, threshold: float) -> Float[Tensor, "*shape"]:
    """a(z) = 0 on z ≤ 0, z^q/(qϱ^{q−1}) on [0, ϱ], z − (1 − 1/q)ϱ above (Allen-Zhu & Li 2020).

    Continuously differentiable for q ≥ 2; the ReLU at q = 1.

    >>> smoothed_relu(torch.tensor([-1.0, 0.5, 1.0, 2.0]), power=2, threshold=1.0)
    tensor([0.0000, 0.1250, 0.5000, 1.5000])
    """
    _check_bend(z, power, threshold)
    x = z.clamp_min(0)
    t = x.clamp_max(threshold)
    return _power(t / threshold, power) * (threshold / power) + (x - t)


@door
def smoothed_relu_slope(
    z: Float[Tensor, "*shape"], /, *, power: int, threshold: float
) -> Float[Tensor, "*shape"]:
    """a′(z) = 0 on z ≤ 0, (z/ϱ)^{q−1} on [0, ϱ], 1 above.

    >>> smoothed_relu_slope(torch.tensor([-1.0, 0.5, 1.0, 2.0]), power=3, threshold=1.0)
    tensor([0.0000, 0.2500, 1.0000, 1.0000])
    """
    _check_bend(z, power, threshold)
    return _power(z.clamp(0, threshold) / threshold, power - 1) * (z > 0)


def _power(t: Tensor, exponent: int) -> Tensor:
    """t^e by squares: many times as fast as torch's power, which takes logarithms."""
    if exponent < 2:
        return t if exponent else torch.ones_like(t)
    half = _power(t, exponent // 2)
    return half * half * t if exponent % 2 else half * half


def _check_bend(z: Tensor, power: int, threshold: float) -> None:
    check_at_least("power", power, 1)
    check_positive("threshold", threshold)
    if threshold > torch.finfo(z.dtype).max:
        raise ValueError(f"threshold = {threshold:g} is no number of {z.dtype}; give a smaller one")


@door
class SmoothedPatches(nn.Module):
    """F_c(X) = Σ_r Σ_p a(⟨w_{c,r}, x_p⟩) as a plain torch module.

    Args:
        weight: w, classes × channels × d.
        power: q.
        threshold: ϱ.
    """

    def __init__(self, weight: Float[Tensor, "k r d"], *, power: int, threshold: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.power, self.threshold = power, threshold

    def forward(self, inputs: Float[Tensor, "n pd"]) -> Float[Tensor, "n k"]:
        """The logits of flattened inputs, n × P·d."""
        patches = inputs.unflatten(-1, (-1, self.weight.shape[-1]))
        products = torch.einsum("npd,krd->nkrp", patches, self.weight)
        return smoothed_relu(products, power=self.power, threshold=self.threshold).sum((-1, -2))


@door
@dataclass(frozen=True)
class PatchNetwork:
    """F_c(X) = Σ_r Σ_p a(⟨w_{c,r}, x_p⟩), as an architecture: no parameters of its own.

    Args:
        num_classes: k.
        num_patches: P.
        patch_dim: d.
        channels: C.
        power: q ≥ 1.
        threshold: ϱ.
        init_std: standard deviation of the Gaussian initialisation; small, so that channels race.

    Raises:
        ValueError: a count below 1 (2 for classes), or ϱ or the standard deviation not positive.

    >>> network = PatchNetwork(num_classes=2, num_patches=3, patch_dim=5, channels=4)
    >>> network.size, network.logits(network.init(Stream(0), members=6), torch.zeros(7, 15)).shape
    (40, torch.Size([6, 7, 2]))
    """

    num_classes: int
    num_patches: int
    patch_dim: int
    channels: int = 24
    power: int = 6
    threshold: float = 0.2
    init_std: float = 0.02

    def __post_init__(self) -> None:
        check_at_least("num_classes", self.num_classes, 2)
        for name in ("num_patches", "patch_dim", "channels", "power"):
            check_at_least(name, getattr(self, name), 1)
        check_positive("threshold", self.threshold)
        check_positive("init_std", self.init_std)

    @property
    def name(self) -> str:
        """The kind, the channels and the power."""
        return f"patches-{self.channels}-q{self.power}"

    @property
    def size(self) -> int:
        """Parameters per member: kCd."""
        return self.num_classes * self.channels * self.patch_dim

    @property
    def input_shape(self) -> tuple[int, ...]:
        """One vector of P patches, one after the other."""
        return (self.num_patches * self.patch_dim,)

    @property
    def activations(self) -> int:
        """Numbers held per member and example: the products, and their slopes."""
        return 2 * self.num_classes * self.channels * self.num_patches

    def init(
        self,
        stream: Stream,
        /,
        *,
        members: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Float[Tensor, "members size"]:
        """Fresh members, entries N(0, init_std²); member i is drawn from `stream.child(i)`."""
        check_at_least("members", members, 1)
        rows = [
            torch.randn(self.size, dtype=torch.float64, generator=stream.child(member).torch())
            for member in range(members)
        ]
        return (self.init_std * torch.stack(rows)).to(device=resolve_device(device), dtype=dtype)

    def logits(
        self, params: Float[Tensor, "*members size"], inputs: Float[Tensor, "*own n d"], /
    ) -> Float[Tensor, "*members n k"]:
        """The outputs of every member; inputs n × Pd are shared, members × n × Pd are each member's own."""
        check_params(params, self.size)
        check_own(params, inputs, self.input_shape)
        params, inputs = promoted(params, inputs)
        products = self._patches(inputs) @ params.unflatten(-1, (-1, self.patch_dim)).mT
        active = smoothed_relu(products, power=self.power, threshold=self.threshold)
        return self._summed(active)

    def _patches(self, inputs: Tensor) -> Tensor:
        rows: Tensor = inputs.unflatten(-1, (self.num_patches, self.patch_dim)).flatten(-3, -2)
        return rows

    def _summed(self, active: Tensor) -> Tensor:
        units: Tensor = active.unflatten(-1, (self.num_classes, -1)).sum(-1)
        total: Tensor = units.unflatten(-2, (-1, self.num_patches)).sum(-2)
        return total

    def unpack(self, params: Float[Tensor, "*members size"], /) -> dict[str, Tensor]:
        """The weights, classes × channels × d, under the name they have in the module."""
        check_params(params, self.size)
        return {"weight": params.unflatten(-1, (self.num_classes, self.channels, self.patch_dim))}

    def pack(self, named: Mapping[str, Tensor], /) -> Float[Tensor, "*members size"]:
        """The inverse of `unpack`."""
        check_named(named, ("weight",))
        return named["weight"].flatten(-3)

    def module(self, params: Float[Tensor, "members size"], member: int, /) -> SmoothedPatches:
        """One member as a plain torch module with its own copy of the parameters."""
        check_member(params, member, self.size)
        weight = self.unpack(params[member])["weight"].detach().clone()
        return SmoothedPatches(weight, power=self.power, threshold=self.threshold)

    def tape(
        self, params: Float[Tensor, "members size"], gradient: Float[Tensor, "members size"], /
    ) -> PatchTape:
        """Hand-written back-propagation: two matrix products a step."""
        check_params(params, self.size)
        return PatchTape(self, params, gradient)


class PatchTape:
    """The steps of one group of patch networks."""

    def __init__(self, network: PatchNetwork, params: Tensor, gradient: Tensor) -> None:
        self._network = network
        shape = (-1, network.patch_dim)
        self._weight, self._gradient = params.unflatten(-1, shape), gradient.unflatten(-1, shape)
        self._products = self._inputs = params

    def prepare(self, inputs: Float[Tensor, "members n ..."], /) -> Float[Tensor, "members n ..."]:
        """The inputs as they are."""
        return inputs

    def forward(self, prepared: Float[Tensor, "members n ..."], /) -> Float[Tensor, "members n k"]:
        """The logits; the products stay for `backward`."""
        network = self._network
        shared = prepared.stride(0) == 0
        self._inputs = network._patches(prepared[0] if shared else prepared)
        self._products = self._inputs @ self._weight.mT
        active = smoothed_relu(self._products, power=network.power, threshold=network.threshold)
        return network._summed(active)

    def backward(self, logit_gradient: Float[Tensor, "members n k"], /) -> None:
        """∂/∂w_{c,r} = Σ_i g_ic Σ_p a′(⟨w_{c,r}, x_ip⟩) x_ip."""
        network = self._network
        slopes = smoothed_relu_slope(self._products, power=network.power, threshold=network.threshold)
        pulled = logit_gradient.repeat_interleave(network.num_patches, -2)
        slopes.mul_(pulled.repeat_interleave(network.channels, -1))
        torch.matmul(slopes.mT, self._inputs, out=self._gradient)
