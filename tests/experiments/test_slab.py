"""The slab of 6.8: its exact risk is what fresh points say."""

from __future__ import annotations

import pytest
import torch

from kdtheory.experiments.transfer_risk.slab import DIM, REACH, heights, sideways, slab_angles, slab_risks
from kdtheory.streams import Stream


def test_risk_in_the_slab_is_what_fresh_points_say() -> None:
    stream = Stream(0)
    seen, fresh = (
        (sideways(k, 0.0, stream.child(k)), heights(k, 1.0, stream.child(k, "t"))) for k in (4, 4000)
    )
    angle = slab_angles(*seen, (4,))
    points, shown = (torch.cat([t[:, None] * g.norm(dim=1, keepdim=True), g], 1) for g, t in (seen, fresh))
    student = torch.linalg.lstsq(points, points[:, :1], driver="gelsd").solution[:, 0]
    wrong = ((shown @ student).sign() != shown[:, 0].sign()).double()
    expected = float(slab_risks(angle, 1.0)[0])
    assert DIM > 1000
    assert REACH == 1.0
    assert float(wrong.mean()) == pytest.approx(expected, abs=4.5 * (expected / 4000) ** 0.5)
    assert expected > 0
    assert float(student[1:].norm() / student[0]) == pytest.approx(float(angle.tan()[0]), rel=1e-5)
