"""The slab of 6.8: its exact risk is what fresh points say."""

from __future__ import annotations

import pytest
import torch

from kdtheory.claims.transfer_risk.rates import DIM, REACH, slab_angles, slab_features, slab_risks
from kdtheory.streams import Stream


def test_risk_in_the_slab_is_what_fresh_points_say() -> None:
    stream = Stream(0)
    seen, fresh = (slab_features(k, 1.0, 0.0, stream.child(k)) for k in (4, 4000))
    angle = slab_angles(seen, (4,))
    student = torch.linalg.lstsq(seen, seen[:, :1], driver="gelsd").solution[:, 0]
    wrong = ((fresh @ student).sign() != fresh[:, 0].sign()).double()
    expected = float(slab_risks(angle, 1.0)[0])
    assert DIM > 1000
    assert REACH == 1.0
    assert float(wrong.mean()) == pytest.approx(expected, abs=4.5 * (expected / 4000) ** 0.5)
    assert expected > 0
