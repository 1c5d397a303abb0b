"""The minutes of a comparison are shared out so that every part has its time."""

from __future__ import annotations

import pytest

from nnx.errors import ConfigurationError
from nnx.experiments.compare import plan
from nnx.experiments.compare.agreement import CHECKS
from nnx.experiments.compare.plan import Budget
from nnx.experiments.compare.sides import FRAMEWORKS


def test_a_budget_counts_what_was_spent_before_and_keeps_time_for_what_follows() -> None:
    budget = Budget(2.0, spent=30.0)
    later = plan.LATER * 30.0
    assert 30.0 <= budget.spent() < 31.0
    assert budget.left() == pytest.approx(max(0.0, 90.0 - later), abs=1.0)
    assert Budget(1.0, spent=90.0).left() == 0.0


def test_every_part_keeps_what_it_takes_at_least() -> None:
    budget = Budget(10.0)
    budget.plan(["deep", "shallow"], job=10.0, step=1.0, svm=7.0)
    least = {name: plan.LEAST[name][0] * 10.0 + plan.LEAST[name][1] for name in ("deep", "shallow")}
    assert budget.least == least | {"svm": 7.0}
    free = 600.0 - sum(budget.least.values())
    assert budget.free() == pytest.approx(free, abs=1.0)
    with budget.part("deep", 0.5) as end:
        assert end == pytest.approx(least["deep"] + free / 2, abs=1.0)
    assert set(budget.least) == {"shallow", "svm"}
    assert budget.took["deep"] < 1.0
    assert budget.free() == pytest.approx(free + least["deep"], abs=1.0)  # it took no time: the rest has more


def test_minutes_that_are_too_few_are_refused_with_those_that_are_needed() -> None:
    budget = Budget(1.0, spent=10.0)
    with pytest.raises(ConfigurationError, match="--minutes 1 is too short") as caught:
        budget.plan(["deep", "shallow"], job=20.0, step=1.0, svm=5.0)
    least = 5.0 + sum(20.0 * plan.LEAST[name][0] + plan.LEAST[name][1] for name in ("deep", "shallow"))
    needed = 10.0 + 10.0 * plan.LATER + plan.MARGIN * least
    stated = float(str(caught.value).split("about ")[1].split()[0])
    assert needed / 60.0 < stated < needed / 60.0 + 0.2
    Budget(stated, spent=10.0).plan(["deep", "shallow"], job=20.0, step=1.0, svm=5.0)


def test_every_check_and_problem_has_a_place_in_the_plan() -> None:
    assert set(plan.LEAST) == {
        *(f"agreement {name}" for name in CHECKS), *FRAMEWORKS["keras"].problems, "xor_fit",
    }  # fmt: skip
