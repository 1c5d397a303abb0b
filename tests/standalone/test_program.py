"""What a program tells its writers."""

from __future__ import annotations

from support.step_programs import built, every_layer

from nnx.standalone.lowering import lower


def test_each_value_is_written_once_and_before_it_is_read():
    for name in every_layer():
        program, known = lower(built(name)[0]), {0}
        for step in program.steps:
            assert set(step.sources) <= known
            assert step.target not in known
            known.add(step.target)
        assert program.result in known
        assert program.values[program.result] == program.outputs


def test_the_last_read_of_a_value_frees_it():
    program = lower(built("residual")[0])
    last = program.last_reads()
    for place, step in enumerate(program.steps):
        assert all(last[value] >= place for value in step.sources)
    assert last[program.result] == len(program.steps)


def test_sizes():
    program = lower(built("words")[0])
    assert (program.inputs, program.outputs, program.integers, program.limit) == (8, 2, True, 11)
    assert not program.scaled
    assert program.parameter_count == sum(table.size for table in program.tables.values())
