"""`fit` learns, calls callbacks in order, and can be called again with the same or another optimizer."""

from __future__ import annotations

import numpy as np
import pytest
from support.classifiers import same_bytes
from support.small_networks import X37 as X
from support.small_networks import Y37 as Y
from support.small_networks import Recorder, fit, host, regressor

import nnx

pytestmark = pytest.mark.usefixtures("device")


def test_training_learns_xor():
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    y = np.array([0, 1, 1, 0])
    network = nnx.Network([nnx.Dense(2, 4), nnx.Tanh(), nnx.Dense(1), nnx.Sigmoid()], seed=0)
    network.fit(x, y, loss=nnx.BinaryCrossEntropy(), optimizer=nnx.Adam(0.05), epochs=500, batch_size=4)
    np.testing.assert_allclose(network.predict(x)[:, 0], y, atol=0.05)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nnx.SGD(0.05, momentum=0.9), lambda: nnx.Adam(0.01), lambda: nnx.RMSprop(0.01, momentum=0.5),
        lambda: nnx.Adagrad(0.1), lambda: nnx.Adam(nnx.Cosine(0.05, 25)),
    ],
)  # fmt: skip
def test_fitting_on_with_the_same_optimizer_is_fitting_longer(make):
    a, b = regressor(), regressor()
    optimizer = make()
    fit(a, optimizer=optimizer, epochs=2, shuffle=False)
    fit(a, optimizer=optimizer, epochs=3, shuffle=False)
    fit(b, optimizer=make(), epochs=5, shuffle=False)
    same_bytes(a, b)
    assert a.arena.step == b.arena.step == 25


def test_another_optimizer_starts_with_new_moments():
    a, b = regressor(), regressor()
    fit(a, optimizer=nnx.Adam(0.01))
    b.set_weights(a.weights())
    fit(a, optimizer=nnx.Adam(0.01), shuffle=False), fit(b, optimizer=nnx.Adam(0.01), shuffle=False)
    same_bytes(a, b)
    optimizer = nnx.SGD(0.1)
    fit(a, optimizer=optimizer, epochs=1)
    assert list(a.arena.states) == [optimizer]  # the others' states went with them
    assert a.arena.states[optimizer].slots == {}
    assert a.arena.states[optimizer].step == 5


def test_one_optimizer_serves_several_networks():
    optimizer = nnx.Adam(0.01)
    a, b, c = regressor(), regressor(), regressor()
    fit(a, optimizer=optimizer), fit(b, optimizer=optimizer), fit(c, optimizer=nnx.Adam(0.01))
    same_bytes(a, b)
    same_bytes(a, c)


def test_a_schedule_is_followed_step_by_step():
    schedule = nnx.Warmup(nnx.Step(0.1, every=3, factor=0.5), steps=4)
    network, seen = regressor(), []
    x, y = network.asarray(X), network.asarray(Y)
    loss, optimizer = nnx.MeanSquaredError(), nnx.SGD(schedule)
    for step in range(12):
        network.backward(loss.gradient(y, network.forward(x, training=True)))
        before, gradient = network[0].W.copy(), network[0].dW.copy()
        optimizer.step(network)
        seen.append(float(np.median(host((before - network[0].W) / gradient))))
        assert seen[-1] == pytest.approx(optimizer.schedule(step), rel=1e-3)
    expected = [0.025, 0.05, 0.075, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025, 0.025]
    np.testing.assert_allclose(seen, expected, rtol=1e-3)


def test_callbacks_are_called_in_order():
    recorder = Recorder()
    fit(regressor(), epochs=2, batch_size=20, callbacks=[recorder])
    assert recorder.calls == ["begin", "step 1", "step 2", "epoch 1", "step 3", "step 4", "epoch 2", "end"]


def test_an_interrupt_ends_the_run_in_order():
    class Interrupt(nnx.Callback):
        def on_epoch_end(self, run):
            if run.epoch == 2:
                raise KeyboardInterrupt

    recorder = Recorder()
    with pytest.raises(KeyboardInterrupt):
        fit(regressor(), callbacks=[Interrupt(), recorder])
    assert recorder.calls[-1] == "end"
