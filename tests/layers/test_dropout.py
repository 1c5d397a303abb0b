"""Dropout: how much it drops, and what its mask depends on."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.resumed import KillAt, Killed, same, train

import nnx
from nnx.backends import Backend
from nnx.distributed import ALONE, Shard
from nnx.errors import ConfigurationError
from nnx.layers import Plan

pytestmark = pytest.mark.usefixtures("on_cpu")


def mask(
    backend: Backend, rate: float = 0.5, shape: tuple[int, int] = (64, 48), *,
    seed: int = 1, step: int = 0, index: int = 0, row: int = 0, dtype: Any = "float64",
) -> np.ndarray:  # fmt: skip
    """Where a lone layer keeps what it is given."""
    layer = nnx.Dropout(rate)
    layer.seed = seed
    layer.build(shape[1], device=backend, dtype=dtype)
    layer.index = index
    layer.arena.step = step
    plan = Plan([layer], layer.arena, keep=True)
    shard = Shard(row, row + shape[0], shape[0], row + shape[0], ALONE)
    y = plan.forward(backend.asarray(np.ones(shape), dtype), shard=shard)
    return backend.to_numpy(y) != 0.0


@pytest.mark.parametrize("rate", [0.01, 0.2, 0.5, 0.9, 0.99])
def test_rate(backend: Backend, rate: float) -> None:
    kept = mask(backend, rate, (500, 200))
    deviation = math.sqrt(rate * (1 - rate))
    assert kept.mean() == pytest.approx(1 - rate, abs=5 * deviation / math.sqrt(kept.size))
    # no row and no column is treated otherwise: of 700 normal deviations the largest is near 3.2
    assert np.abs(kept.mean(axis=1) - (1 - rate)).max() < 6 * deviation / math.sqrt(200)
    assert np.abs(kept.mean(axis=0) - (1 - rate)).max() < 6 * deviation / math.sqrt(500)


def test_neighbours_are_independent(backend: Backend) -> None:
    kept = mask(backend, 0.5, (500, 200)) - 0.5
    for shift, axis in ((1, 0), (1, 1), (2, 0), (7, 1)):
        assert abs(np.mean(kept * np.roll(kept, shift, axis)) * 4) < 5 / math.sqrt(kept.size)


def test_what_is_kept_is_scaled_and_the_expectation_stays(backend: Backend, dtype: np.dtype) -> None:
    layer = nnx.Dropout(0.2)
    layer.seed = 3
    x = np.random.default_rng(0).uniform(1.0, 2.0, (400, 50))
    layer.build(50, device=backend, dtype=dtype)
    y = backend.to_numpy(layer.forward(backend.asarray(x, dtype), training=True))
    kept = y != 0.0
    np.testing.assert_allclose(y[kept], (x / 0.8)[kept], rtol=4 * np.finfo(dtype).eps)
    assert y.mean() == pytest.approx(x.mean(), rel=0.02)


def test_backward_uses_the_mask_of_forward(backend: Backend, rng: np.random.Generator) -> None:
    layer = nnx.Dropout(0.4)
    x, dy = (backend.asarray(v) for v in rng.uniform(1.0, 2.0, (2, 30, 20)))
    layer.build(20, device=backend, dtype="float64")
    y = backend.to_numpy(layer.forward(x, training=True)).copy()
    dx = backend.to_numpy(layer.backward(dy))
    np.testing.assert_allclose(dx, backend.to_numpy(dy) * (y / backend.to_numpy(x)), rtol=1e-14)


def test_inference_and_a_rate_of_zero_change_nothing(backend: Backend, rng: np.random.Generator) -> None:
    x = backend.asarray(rng.standard_normal((5, 4)))
    for rate, training in ((0.5, False), (0.0, True)):
        layer = nnx.Dropout(rate)
        layer.build(4, device=backend, dtype="float64")
        np.testing.assert_array_equal(
            backend.to_numpy(layer.forward(x, training=training)), backend.to_numpy(x)
        )
        np.testing.assert_array_equal(backend.to_numpy(layer.backward(x)), backend.to_numpy(x))


def test_the_mask_does_not_depend_on_how_a_batch_is_split(backend: Backend) -> None:
    whole = mask(backend, shape=(60, 48))
    parts = [mask(backend, shape=(rows, 48), row=row) for row, rows in ((0, 1), (1, 30), (31, 29))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    # nor on the width: a column's draw is its own
    np.testing.assert_array_equal(mask(backend, shape=(60, 20)), whole[:, :20])


def test_the_mask_is_the_same_in_both_float_types_and_each_time(backend: Backend) -> None:
    np.testing.assert_array_equal(mask(backend, dtype="float32"), mask(backend, dtype="float64"))


@pytest.mark.parametrize("other", [{"seed": 2}, {"step": 1}, {"index": 1}, {"row": 64}], ids=repr)
def test_seed_step_layer_and_row_each_give_another_mask(backend: Backend, other: dict[str, int]) -> None:
    kept, changed = mask(backend), mask(backend, **other)
    # independent halves agree in half of all elements
    assert np.mean(kept == changed) == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(kept.size))


def kept_by(network: nnx.Network, x: Any, training: bool = True) -> np.ndarray:
    """What a pass leaves of a network's outputs, none of which is zero by itself."""
    return network.backend.to_numpy(network.forward(x, training=training)) != 0.0


def test_every_training_pass_and_every_optimizer_step_draws_a_new_mask(backend: Backend) -> None:
    network = nnx.Network(
        [nnx.Dense(20, 30), nnx.Dropout(0.5), nnx.Dropout(0.5)], device=backend, dtype="float64", seed=1
    )
    x = network.asarray(np.ones((40, 20)))
    masks = []
    for _ in range(2):
        masks += [kept_by(network, x) for _ in range(3)]
        network.backward(network.asarray(np.zeros((40, 30))))
        nnx.SGD(0.1).step(network)
    assert len({mask.tobytes() for mask in masks}) == 6
    for kept in masks:  # two layers that drew the same mask would keep half, not a quarter
        assert kept.mean() == pytest.approx(0.25, abs=5 * 0.44 / math.sqrt(kept.size))
    agreed = np.mean([np.mean(a == b) for a, b in itertools.combinations(masks, 2)])
    assert agreed == pytest.approx(0.25**2 + 0.75**2, abs=0.02)  # as of independent draws


def test_predicting_in_between_does_not_move_the_draws(backend: Backend) -> None:
    def masks(disturbed: bool) -> list[np.ndarray]:
        network = nnx.Network([nnx.Dense(20, 30), nnx.Dropout(0.5)], device=backend, seed=1)
        x, found = network.asarray(np.ones((40, 20))), []
        for _ in range(3):
            found.append(kept_by(network, x))
            if disturbed:
                assert kept_by(network, x, training=False).all()
                network.predict(np.ones((7, 20)))
        return found

    np.testing.assert_array_equal(masks(False), masks(True))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_monte_carlo_dropout_has_the_mean_and_variance_of_its_theory(backend: Backend, rate: float) -> None:
    """Of x mask / (1 − rate): mean x, variance x² rate / (1 − rate), over passes and not over elements."""
    network = nnx.Network([nnx.Dropout(rate)], device=backend, dtype="float64", seed=0)
    x, passes = np.random.default_rng(0).uniform(1.0, 2.0, (30, 20)), 200
    given = network.asarray(x)
    drawn = np.array([network.backend.to_numpy(network.forward(given, training=True)).copy() / x
                      for _ in range(passes)])  # fmt: skip
    variance = rate / (1.0 - rate)
    deviation = math.sqrt(variance / passes / x.size)
    assert drawn.mean() == pytest.approx(1.0, abs=5 * deviation)
    assert drawn.var(axis=0).mean() == pytest.approx(variance, rel=0.05)
    # the mean of many passes draws near x as 1/√passes: were they one, it would stay away
    assert np.abs(drawn.mean(axis=0) - 1.0).max() < 6 * math.sqrt(variance / passes)


def test_backward_uses_the_mask_of_the_last_of_several_passes(backend: Backend) -> None:
    network = nnx.Network([nnx.Dropout(0.5)], device=backend, dtype="float64", seed=1)
    x = network.asarray(np.ones((40, 20)))
    for _ in range(3):
        kept = kept_by(network, x)
        dx = network.backward(network.asarray(np.ones((40, 20))), input_gradient=True)
        np.testing.assert_array_equal(network.backend.to_numpy(dx) != 0.0, kept)


def test_passes_of_a_callback_do_not_change_what_fit_trains(backend: Backend) -> None:
    class Passes(nnx.Callback):
        def on_epoch_end(self, run: Any) -> None:
            run.network.forward(run.network.asarray(x), training=True)

        on_step_end = on_epoch_end

    x = np.random.default_rng(0).standard_normal((64, 5))
    weights = []
    for callbacks in ([], [Passes()]):
        network = nnx.Network(
            [nnx.Dense(5, 32), nnx.Dropout(0.3), nnx.Dense(5)], device=backend, dtype="float64", seed=1
        )
        network.fit(
            x, x, loss=nnx.MeanSquaredError(), optimizer=nnx.Adam(), epochs=2, batch_size=24,
            callbacks=callbacks,
        )  # fmt: skip
        weights.append(network.backend.to_numpy(network.arena.values).tobytes())
    assert weights[0] == weights[1]


def test_a_loop_by_hand_drops_what_fit_drops(backend: Backend) -> None:
    x = np.random.default_rng(0).standard_normal((32, 5))
    layers = [nnx.Dense(5, 32), nnx.Dropout(0.3), nnx.Dense(5)]
    fitted = nnx.Network(layers, device=backend, dtype="float64", seed=1)
    by_hand = fitted.copy()
    loss = nnx.MeanSquaredError()
    fitted.fit(x, x, loss=loss, optimizer=nnx.SGD(0.1), epochs=3, batch_size=32)
    given, optimizer = by_hand.asarray(x), nnx.SGD(0.1)
    for _ in range(3):
        y = by_hand.forward(given, training=True)
        by_hand.backward(loss.gradient(given, y))
        optimizer.step(by_hand)
    np.testing.assert_allclose(
        by_hand.predict(x), fitted.predict(x), rtol=1e-12, atol=1e-14, err_msg="another mask"
    )


def test_two_networks_of_one_seed_train_alike_and_a_third_does_not(backend: Backend) -> None:
    x = np.random.default_rng(0).standard_normal((64, 5))
    losses = []
    for seed in (1, 1, 2):
        network = nnx.Network(
            [nnx.Dense(5, 32), nnx.Dropout(0.3), nnx.Dense(5)], device=backend, dtype="float64", seed=seed
        )
        history = network.fit(
            x, x, loss=nnx.MeanSquaredError(), optimizer=nnx.Adam(), epochs=3, batch_size=24
        )
        losses.append(history.metrics["loss"])
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, math.nan])
def test_a_rate_out_of_range_is_refused(rate: float) -> None:
    with pytest.raises(ConfigurationError, match=r"Dropout: rate must lie in \[0, 1\), not"):
        nnx.Dropout(rate)


# ------------------------------------------------------------------------------- whole channels


@pytest.mark.parametrize("shape", [(5, 40), (3, 4, 40)])
def test_a_channel_is_dropped_at_all_positions_or_at_none(backend: Backend, shape: tuple[int, ...]) -> None:
    kind = nnx.SpatialDropout1D if len(shape) == 2 else nnx.SpatialDropout2D
    layer = kind(0.25)
    layer.seed = 3
    layer.build(shape, device=backend, dtype="float64")
    x = np.random.default_rng(0).uniform(1.0, 2.0, (50, *shape))
    y = backend.to_numpy(layer.forward(backend.asarray(x), training=True)).copy()
    kept = (y != 0.0).reshape(50, -1, 40)
    assert (kept == kept[:, :1]).all()
    assert kept[:, 0].mean() == pytest.approx(0.75, abs=5 * 0.44 / math.sqrt(50 * 40))
    np.testing.assert_allclose(y[y != 0.0], (x / 0.75)[y != 0.0], rtol=1e-14)
    dx = backend.to_numpy(layer.backward(backend.asarray(x)))
    np.testing.assert_array_equal(dx, y)  # the same mask for the same numbers
    np.testing.assert_array_equal(backend.to_numpy(layer.forward(backend.asarray(x))), x)


def test_the_mask_of_channels_is_that_of_dropout_on_rows_of_channels(backend: Backend) -> None:
    """It depends on seed, step, layer, row and channel, and not on the size of the image."""
    layers = [nnx.SpatialDropout2D(0.5), nnx.SpatialDropout2D(0.5), nnx.Dropout(0.5)]
    masks = []
    for layer, shape in zip(layers, [(2, 3, 16), (1, 1, 16), (16,)], strict=True):
        layer.seed = 3
        layer.build(shape, device=backend, dtype="float64")
        y = backend.to_numpy(layer.forward(backend.asarray(np.ones((20, *shape))), training=True))
        masks.append(y.reshape(20, -1, 16)[:, 0] != 0.0)
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(masks[0], masks[2])


def test_the_mask_of_channels_does_not_depend_on_how_a_batch_is_split(backend: Backend) -> None:
    layer = nnx.SpatialDropout2D(0.5)
    layer.seed = 1
    layer.build((2, 2, 30), device=backend, dtype="float64")
    plan = Plan([layer], layer.arena, keep=True)

    def kept(first: int, stop: int) -> np.ndarray:
        shard = Shard(first, stop, stop - first, 40, ALONE)
        x = backend.asarray(np.ones((stop - first, 2, 2, 30)))
        return backend.to_numpy(plan.forward(x, shard=shard, draw=0)) != 0.0

    whole = kept(0, 40).copy()
    for first, stop in ((0, 1), (1, 25), (25, 40)):
        np.testing.assert_array_equal(kept(first, stop), whole[first:stop])


@pytest.mark.parametrize("device", ["numpy", "numba"])
def test_a_resumed_run_drops_the_same_channels(device: str, tmp_path: Path) -> None:
    def made() -> nnx.Network:
        layers = [
            nnx.Reshape((3, 2, 1)), nnx.Conv2D(8, 2, padding="same"), nnx.SpatialDropout2D(0.4),
            nnx.MaxPool2D((2, 1), strides=1), nnx.Flatten(), nnx.Dense(3),
        ]  # fmt: skip
        return nnx.Network(layers, device=device, seed=3)

    whole = train(made())
    with pytest.raises(Killed):
        train(made(), callbacks=[KillAt(19)], checkpoint=nnx.Checkpoint(tmp_path / "run", every=1))
    same(train(made(), checkpoint=nnx.Checkpoint(tmp_path / "run", every=1, resume=True)), whole)
