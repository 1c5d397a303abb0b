"""Values that live at the same time do not share memory; others do."""

from __future__ import annotations

import pytest
from support.step_programs import built, every_layer, random_network

import nnx
from nnx.standalone.lowering import lower
from nnx.standalone.memory import IN_PLACE, plan


@pytest.mark.parametrize("seed", range(60))
def test_no_value_is_overwritten_before_its_last_read(seed):
    """Follow who owns each number of the block, step by step."""
    names = sorted(every_layer())
    program = lower(random_network(seed)[0] if seed >= len(names) else built(names[seed])[0])
    memory = plan(program)
    owner: dict[object, int] = {}
    for step in program.steps:
        for value in step.sources:
            if value:
                assert all(owner[cell] == value for cell in cells(program, memory, value)), step
        written = cells(program, memory, step.target)
        read = {cell for value in step.sources if value for cell in cells(program, memory, value)}
        assert not read & set(written) or step.kind in IN_PLACE, step
        owner.update(dict.fromkeys(written, step.target))
    assert all(owner[cell] == program.result for cell in cells(program, memory, program.result))


def cells(program, memory, value):
    if value in memory.answers:
        return [("answer", place) for place in range(program.values[value])]
    begin = memory.places[value]
    assert begin + program.values[value] <= memory.size
    return range(begin, begin + program.values[value])


def test_a_chain_needs_the_memory_of_two_values():
    layers = [layer for _ in range(5) for layer in (nnx.Dense(32), nnx.ReLU())]
    program = lower(nnx.Network([*layers, nnx.Dense(10), nnx.Softmax()], seed=0).build(64))
    assert plan(program).size == 64


def test_an_answer_of_another_type_shares_no_memory():
    program = lower(nnx.Network([nnx.Dense(5), nnx.Rescale(2.0, 1.0)], seed=0).build(3))
    assert len(plan(program).answers) == 2
    assert len(plan(program, apart=True).answers) == 1
