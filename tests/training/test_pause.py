"""A compiled loop trains no further than to the next epoch in which a callback or the checkpoint is due."""

from __future__ import annotations

import pytest

import nnx
from nnx.callbacks import History, Run
from nnx.distributed import ALONE
from nnx.training.pause import Pause
from nnx.training.ranks import Ranks
from nnx.training.signals import Interrupts

BATCHES = 4


class Every(nnx.Callback):
    def __init__(self, epochs):
        self.every_n_epochs = epochs

    def on_epoch_end(self, run):
        pass


class Steps(nnx.Callback):
    """It has no `on_epoch_end`, so it asks for no epoch."""

    def on_step_end(self, run):
        pass


def pause(epoch, *callbacks, checkpoint=None, validation=False):
    """The pause of a run of 100 epochs after so many of them."""
    network = nnx.Network([nnx.Dense(2, 1)], device="numpy", seed=0)
    run = Run(network, nnx.SGD(), History(), 100, BATCHES, epoch=epoch, step=epoch * BATCHES)
    run.callbacks = callbacks
    interrupts = Interrupts(wanted=False)
    return Pause(run, checkpoint, Ranks(ALONE, network.arena, interrupts), interrupts, validation)


@pytest.mark.parametrize(
    ("epoch", "every", "left"),
    [(0, [], 100), (0, [10], 10), (7, [10], 3), (7, [10, 4], 1), (95, [10], 5), (97, [60], 3)],
)
def test_it_is_the_nearest_epoch_that_a_callback_asks_for_or_the_last(epoch, every, left):
    assert pause(epoch, *map(Every, every)).epochs_left() == left


def test_a_callback_without_on_epoch_end_asks_for_no_epoch():
    only = Steps()
    made = pause(0, only)
    assert made.epochs_left() == 100
    assert made.on_step == [only]


@pytest.mark.parametrize(("steps", "left"), [(3, 1), (4, 1), (5, 2), (40, 10), (1000, 100)])
def test_a_checkpoint_is_due_in_the_epoch_of_its_step(tmp_path, steps, left):
    assert pause(0, checkpoint=nnx.Checkpoint(tmp_path, every=steps)).epochs_left() == left


def test_with_validation_every_epoch_ends_in_a_pause():
    assert pause(7, Every(10), validation=True).epochs_left() == 1
