"""Schedules: their rates step by step, and their descriptions."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from support.optimizers import GRADIENT, START, steps

import nnx
from nnx import schedules
from nnx.backends import Backend

pytestmark = pytest.mark.usefixtures("on_cpu")


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (nnx.Constant(0.3), {0: 0.3, 10**6: 0.3}),
        (nnx.Step(1.0, every=10), {0: 1.0, 9: 1.0, 10: 0.1, 19: 0.1, 20: 0.01}),
        (nnx.Exponential(1.0, steps=10, factor=0.25), {0: 1.0, 5: 0.5, 10: 0.25, 20: 0.0625}),
        (nnx.Cosine(1.0, steps=100), {0: 1.0, 25: 0.5 + math.sqrt(0.125), 50: 0.5, 100: 0.0, 999: 0.0}),
        (nnx.Cosine(1.0, steps=10, final=0.2), {0: 1.0, 5: 0.6, 10: 0.2, 11: 0.2}),
        (nnx.Warmup(0.8, steps=4), {0: 0.2, 1: 0.4, 2: 0.6, 3: 0.8, 4: 0.8, 99: 0.8}),
        (nnx.Warmup(nnx.Cosine(1.0, 10), 2), {0: 0.5, 1: 1.0, 2: 1.0, 7: 0.5, 12: 0.0}),
        (nnx.Warmup(nnx.Step(1.0, 3), 1), {0: 1.0, 1: 1.0, 3: 1.0, 4: 0.1}),
        # PyTorch 2.13: OneCycleLR(max_lr=0.1, total_steps=20)
        (
            nnx.OneCycle(0.1, 20),
            {
                0: 0.004,
                2: 0.037167184270002526,
                5: 0.1,
                10: 0.07169430017913009,
                18: 0.0012539993764912555,
                19: 4e-7,
                99: 4e-7,
            },
        ),
        (nnx.OneCycle(1.0, 5, rise=0.0, start=0.5, final=0.1), {0: 1.0, 2: 0.55, 4: 0.1}),
        (nnx.OneCycle(1.0, 5, rise=1.0, start=0.5, final=0.1), {0: 0.5, 2: 0.75, 4: 1.0}),
        (nnx.OneCycle(1.0, 1), {0: 1.0, 1: 1.0}),
        # PyTorch 2.13: CosineAnnealingWarmRestarts(T_0=4, T_mult=2)
        (nnx.WarmRestarts(1.0, 4), {0: 1.0, 2: 0.5, 4: 1.0, 8: 0.5, 12: 1.0, 20: 0.5, 28: 1.0}),
        (
            nnx.WarmRestarts(1.0, 4, factor=1, final=0.2, decay=0.5),
            {0: 1.0, 2: 0.6, 4: 0.5, 6: 0.35, 8: 0.25, 12: 0.2, 10**6: 0.2},
        ),
    ],
    ids=repr,
)
def test_schedules(schedule: nnx.Schedule, expected: dict[int, float]) -> None:
    for step, rate in expected.items():
        assert schedule(step) == pytest.approx(rate, abs=1e-15)


def test_a_schedule_is_followed_step_by_step(backend: Backend) -> None:
    schedule = nnx.Cosine(0.1, 5)
    total = sum(schedule(step) for step in range(4))
    np.testing.assert_allclose(steps(backend, nnx.SGD(schedule), 4), START - total * GRADIENT, rtol=1e-12)
    assert nnx.Adam(schedule).schedule(5) == 0.0
    assert nnx.Adam(0.25).schedule(10**9) == 0.25


SCHEDULES = [
    nnx.Constant(0.3), nnx.Step(0.1, 5), nnx.Exponential(0.1, 5, 0.5), nnx.Cosine(0.1, 9, 0.01),
    nnx.Warmup(nnx.Cosine(0.1, 9), 4), nnx.Warmup(0.1, 4),
    nnx.OneCycle(0.1, 9, 0.4), nnx.WarmRestarts(0.1, 3),
]  # fmt: skip


class Falling(nnx.Schedule):
    def __init__(self, start: float, after: Any) -> None:
        self.start, self.after = start, after

    def __call__(self, step: int) -> float:
        return self.start / (1 + step)


@pytest.mark.parametrize("schedule", [*SCHEDULES, Falling(0.2, 3.0)], ids=repr)
def test_a_schedule_is_made_again_from_its_description(schedule: nnx.Schedule) -> None:
    again = schedules.get(json.loads(json.dumps(schedules.describe(schedule))))
    assert type(again) is type(schedule)
    assert [again(step) for step in range(12)] == [schedule(step) for step in range(12)]
