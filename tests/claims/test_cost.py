"""What a claim costs is declared: the scheduler and the tests read it there."""

from __future__ import annotations

from dataclasses import replace

from kdtheory.claims import REGISTRY, Plan
from kdtheory.ledger import examined


def test_the_costliest_start_first() -> None:
    names = (
        "kd_gradient_is_the_closed_form",
        "entropy_grows_with_the_temperature",
        "kl_moment_is_of_order_root_n",
    )
    claims = [replace(REGISTRY[name], cost=cost) for name, cost in zip(names, (1.0, 9.0, 1.0), strict=True)]
    found = [record.name for record in examined(claims, Plan(seed=0, device="cpu"))]
    assert found == [names[1], names[0], names[2]]


def test_every_cost_is_a_time() -> None:
    assert all(claim.cost > 0 for claim in REGISTRY.values())
