"""Each side computes the problems that its framework can."""

from __future__ import annotations

from nnx.experiments.compare.sides import problems_of, sides_of


def test_the_classifier_is_computed_where_a_framework_can_do_nothing_else() -> None:
    names = ["xor_deep", "xor_shallow", "deep", "shallow"]
    assert problems_of(sides_of("cpu", ["keras", "torch"])) == names
    assert problems_of(sides_of("cpu", ["torch", "sklearn"])) == [*names, "classifier"]
    assert problems_of(sides_of("cpu", ["sklearn"])) == ["classifier"]
