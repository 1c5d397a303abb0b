"""The options of `fit` say which callbacks a rank calls, and in which order."""

from __future__ import annotations

import pytest

import nnx
from nnx.distributed import Communicator
from nnx.training.options import FitOptions


class Everywhere(nnx.Callback):
    pass


class First(nnx.Callback):
    every_rank = False


def options(rank, **given):
    communicator = Communicator()
    communicator.rank, communicator.size = rank, 2
    return FitOptions(nnx.MeanSquaredError(), nnx.SGD(), communicator=communicator, **given)


def test_the_checkpoint_is_called_after_all_other_callbacks(tmp_path):
    callbacks, checkpoint = [First(), Everywhere()], nnx.Checkpoint(tmp_path)
    given = options(0, callbacks=callbacks, checkpoint=checkpoint)
    assert given.callbacks_here == [*callbacks, checkpoint]
    assert given.checkpoint_here is checkpoint


@pytest.mark.parametrize("rank", [1, 5])
def test_other_ranks_call_only_callbacks_of_every_rank_and_write_no_checkpoint(tmp_path, rank):
    everywhere = Everywhere()
    given = options(rank, callbacks=[First(), everywhere], checkpoint=nnx.Checkpoint(tmp_path))
    assert given.callbacks_here == [everywhere]
    assert given.checkpoint_here is None
