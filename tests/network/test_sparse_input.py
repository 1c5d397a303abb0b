"""Networks train on sparse rows as on dense rows, without a dense matrix."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from support import mpi_jobs
from support.mpi_jobs import JOBS, needs_mpi
from support.resumed import KillAt, Killed
from support.sparse_matrices import drawn

import nnx
from nnx.backends import Backend
from nnx.ops.sparse import SparseBatch

pytestmark = pytest.mark.usefixtures("on_cpu")
FEATURES = 60
X = drawn(90, FEATURES)
DENSE = X.toarray()
RNG = np.random.default_rng(3)
Y = RNG.integers(0, 3, 90)
WEIGHTS = RNG.uniform(0.5, 2.0, 90)
LOSS = nnx.CategoricalCrossEntropy()
OPTIMIZERS: dict[str, Callable[..., nnx.Optimizer]] = {
    "sgd": lambda **more: nnx.SGD(0.5, **more),
    "momentum": lambda **more: nnx.SGD(0.1, momentum=0.9, **more),
    "adam": lambda **more: nnx.Adam(0.05, **more),
    "adamw": lambda **more: nnx.AdamW(0.05, **more),
    "rmsprop": lambda **more: nnx.RMSprop(0.02, **more),
    "adagrad": lambda **more: nnx.Adagrad(0.2, **more),
    "decay": lambda **more: nnx.SGD(0.5, weight_decay=0.1, **more),
    "l2": lambda **more: nnx.Adagrad(0.2, l2=0.1, **more),
}


@pytest.fixture(params=["numpy", "numba"])
def device(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def network(
    device: str = "numpy", sparse: bool = False, dtype: str = "float64", **options: Any
) -> nnx.Network:
    layers = [nnx.Dense(7, sparse=sparse), nnx.ReLU(), nnx.Dropout(0.1), nnx.Dense(3), nnx.Softmax()]
    return nnx.Network(layers, device=device, seed=0, dtype=dtype, **options)


def fit(one: nnx.Network, x: Any, optimizer: nnx.Optimizer, **options: Any) -> nnx.History:
    return one.fit(x, Y, optimizer=optimizer, **{"loss": LOSS, "epochs": 3, "batch_size": 16} | options)


def near(one: nnx.Network, other: nnx.Network, **tolerance: float) -> None:
    for name, value in one.weights().items():
        np.testing.assert_allclose(other.weights()[name], value, err_msg=name, **tolerance)


def step(one: nnx.Network, x: Any, y: np.ndarray, optimizer: nnx.Optimizer | None) -> None:
    """What `fit` does for a batch, by hand."""
    one.backward(LOSS.gradient(y, one.forward(one.asarray(x), training=True)))
    if optimizer is not None:
        optimizer.step(one)


# ------------------------------------------------------------------------- the numbers of dense rows


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("clip", [{}, {"clip_norm": 0.05}])
def test_training_gives_the_numbers_of_dense_rows(device: str, name: str, clip: dict[str, float]) -> None:
    ones = [network(device), network(device)]
    options = {"validation": 0.2, "metrics": ["accuracy"], "sample_weight": WEIGHTS}
    losses = [
        fit(one, x, OPTIMIZERS[name](**clip), **options).metrics
        for one, x in zip(ones, (DENSE, X), strict=True)
    ]
    assert losses[0].keys() == losses[1].keys()
    for key, values in losses[0].items():
        np.testing.assert_allclose(losses[1][key], values, rtol=1e-8, err_msg=key)
    near(*ones, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("form", ["csc_matrix", "coo_array", "lil_matrix"])
def test_every_method_takes_every_format(device: str, dtype: np.dtype, form: str) -> None:
    one, x = network(device, dtype=dtype), getattr(sparse, form)(X)
    fit(
        one,
        x,
        nnx.Adam(0.01),
        validation=(x[:20] if form != "coo_array" else x, Y[: 20 if form != "coo_array" else 90]),
    )
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if dtype == np.float32 else {"rtol": 1e-10}
    np.testing.assert_allclose(one.predict(x), one.predict(DENSE), **tolerance)
    np.testing.assert_allclose(one(x), one.predict(x, batch_size=7), **tolerance)
    np.testing.assert_allclose(one[:2].predict(x), one[:2].predict(DENSE), **tolerance)
    found, expected = (
        one.evaluate(data, Y, loss=LOSS, metrics=["accuracy"], sample_weight=WEIGHTS) for data in (x, DENSE)
    )
    assert found == pytest.approx(expected, rel=1e-6)


def test_one_batch_of_all_rows_and_rows_in_their_order(device: str) -> None:
    for options in ({"batch_size": 90}, {"shuffle": False}, {"batch_size": 89}):
        ones = [network(device), network(device)]
        for one, x in zip(ones, (DENSE, X), strict=True):
            fit(one, x, nnx.Adam(0.05), **options)
        near(*ones, rtol=1e-8, atol=1e-11)


def test_whole_numbers_and_truth_values(device: str) -> None:
    for data in (X > 0.5, (10 * X).astype(np.int16), sparse.csr_array(abs(X) > 0.1).astype(np.uint8)):
        ones = [network(device), network(device)]
        for one, x in zip(ones, (data.toarray().astype(float), data), strict=True):
            fit(one, x, nnx.SGD(0.1))
        near(*ones, rtol=1e-8, atol=1e-11)


def test_targets_that_are_the_inputs_or_sparse_too(device: str) -> None:
    """An autoencoder; a batch of the targets becomes dense."""
    y = sparse.coo_array((np.arange(90) % 5 == 0)[:, None] * np.array([1, 0, 1, 1]))
    for width, targets in ((FEATURES, (DENSE, X)), (4, (y.toarray(), y))):
        ones = []
        for x, t in zip((DENSE, X), targets, strict=True):
            one = nnx.Network(
                [nnx.Dense(5), nnx.Tanh(), nnx.Dense(width)], device=device, seed=1, dtype="float64"
            )
            options = {"validation": 0.2, "metrics": ["mse"], "epochs": 2, "batch_size": 16}
            history = one.fit(x, t, loss="mse", optimizer=nnx.Adam(0.01), **options)
            ones.append((one, history.metrics))
        near(ones[0][0], ones[1][0], rtol=1e-8, atol=1e-11)
        for key, values in ones[0][1].items():
            np.testing.assert_allclose(ones[1][1][key], values, rtol=1e-10)
    with pytest.raises(nnx.errors.DataError, match=r"\[0, 1\]"):
        nnx.Network([nnx.Dense(FEATURES), nnx.Sigmoid()], device=device).fit(
            X, X, loss="binary_cross_entropy", optimizer="sgd"
        )


def test_dense_x_with_sparse_targets(device: str) -> None:
    found = []
    for y in (DENSE, X):
        one = nnx.Network([nnx.Dense(3), nnx.Dense(FEATURES)], device=device, seed=1)
        found.append(one.fit(DENSE[:, :9], y, loss="mse", optimizer="adam", epochs=2, batch_size=16)["loss"])
    np.testing.assert_allclose(*found, rtol=1e-5)


@pytest.mark.parametrize(
    "first",
    [
        lambda: [nnx.Dropout(0.2)], lambda: [nnx.BatchNorm()], lambda: [nnx.Sequential([nnx.Dense(6)])],
        lambda: [nnx.Reshape((6, 10)), nnx.Flatten()],
        lambda: [nnx.Residual([nnx.Dense(FEATURES)])],
    ],
)  # fmt: skip
def test_other_first_layers_get_dense_batches(device: str, first: Callable[[], list[nnx.Layer]]) -> None:
    ones = []
    for x in (DENSE, X):
        one = nnx.Network([*first(), nnx.Dense(3), nnx.Softmax()], device=device, seed=0, dtype="float64")
        fit(one, x, nnx.Adam(0.01), validation=0.1)
        ones.append(one)
    near(*ones, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ones[1].predict(X), ones[0].predict(DENSE), rtol=1e-9)


def test_bfloat16_gets_dense_batches() -> None:
    ones = [network("numpy", dtype="float32", precision="bfloat16") for _ in range(2)]
    for one, x in zip(ones, (DENSE, X), strict=True):
        fit(one, x, nnx.Adam(0.01))
    near(*ones, rtol=0.0)


def test_augment_gets_a_dense_batch(device: str) -> None:
    seen = []

    def doubled(
        generator: np.random.Generator, x: np.ndarray, y: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        seen.append((type(x), x.shape))
        return 2.0 * x, y

    ones = [network(device), network(device)]
    for one, x in zip(ones, (DENSE, X), strict=True):
        fit(one, x, nnx.SGD(0.1), augment=doubled)
    near(*ones, rtol=0.0)
    assert set(seen) == {(np.ndarray, (16, FEATURES)), (np.ndarray, (10, FEATURES))}


def test_steps_in_pieces(device: str) -> None:
    for name in ("sgd", "adam"):
        ones = [network(device), network(device)]
        for one, x in zip(ones, (DENSE, X), strict=True):
            for _ in range(2):
                fit(one, x, OPTIMIZERS[name](), batch_size=5, accumulate=3, sample_weight=WEIGHTS)
        near(*ones, rtol=1e-8, atol=1e-11)


def test_a_sparse_layer_in_pieces(device: str) -> None:
    for name in ("sgd", "adam"):
        ones = [network(device, sparse=True), network(device, sparse=True)]
        for one, sizes in zip(ones, ((15, 1), (5, 3)), strict=True):
            fit(one, X, OPTIMIZERS[name](), batch_size=sizes[0], accumulate=sizes[1], sample_weight=WEIGHTS)
        near(*ones, rtol=1e-8, atol=1e-11)


# ------------------------------------------------------------------------------- the used rows


@pytest.mark.parametrize("name", ["sgd", "adagrad"])
def test_unused_rows_are_not_touched_where_the_rule_allows_it(
    device: str, name: str, monkeypatch: Any
) -> None:
    sizes: list[int] = []
    one, optimizer = network(device), OPTIMIZERS[name]()
    kind = type(optimizer)
    update, update_rows = kind.update, kind.update_rows

    def noted(self: Any, backend: Backend, span: Any, *rest: Any) -> None:
        sizes.append(span.values.size)
        update(self, backend, span, *rest)

    def noted_rows(self: Any, backend: Backend, span: Any, used: Any, *rest: Any) -> None:
        sizes.append(used.sums.size)
        update_rows(self, backend, span, used, *rest)

    monkeypatch.setattr(kind, "update", noted)
    monkeypatch.setattr(kind, "update_rows", noted_rows)
    monkeypatch.setattr(kind, "keeps_rest", property(lambda self: True))
    one.fit(X[:2], Y[:2], loss=LOSS, optimizer=optimizer, batch_size=2)
    assert 7 * np.count_nonzero(DENSE[:2].any(axis=0)) in sizes
    assert 7 * FEATURES not in sizes


def test_settings_under_which_unused_rows_change() -> None:
    keeps = {name: make().keeps_rest for name, make in OPTIMIZERS.items()}
    assert [name for name, kept in keeps.items() if kept] == ["sgd", "adagrad"]

    class Own(nnx.SGD):
        def update(self, *arguments: Any) -> None:
            super().update(*arguments)

    assert not Own(0.1).keeps_rest


@pytest.mark.parametrize("name", ["momentum", "adam", "rmsprop"])
def test_sparse_layers_update_the_used_rows_only(device: str, name: str) -> None:
    """After each step, used rows are those of the dense rule, and the others rest, with their moments."""
    one, other = network(device, sparse=True), network(device)
    optimizers = OPTIMIZERS[name](), OPTIMIZERS[name]()
    for made, optimizer in zip((one, other), optimizers, strict=True):
        made.build(FEATURES)
        optimizer.state_for(made)

    def table(made: nnx.Network, optimizer: nnx.Optimizer) -> list[np.ndarray]:
        slots = made.arena.states[optimizer].slots.values()
        return [a[: 7 * FEATURES].reshape(FEATURES, 7).copy() for a in (made.arena.values, *slots)]

    for number in range(4):
        at = slice(number * 8, number * 8 + 5)
        other.set_weights(one.weights())
        for key, slot in one.arena.states[optimizers[0]].slots.items():
            target = other.arena.states[optimizers[1]].slots[key]
            target[...] = 0.0
            target[: 7 * FEATURES] = slot[: 7 * FEATURES]
        before = table(one, optimizers[0])
        step(one, X[at], Y[at], optimizers[0])
        step(other, DENSE[at], Y[at], optimizers[1])
        used = DENSE[at].any(axis=0)
        for found, expected, old in zip(
            table(one, optimizers[0]), table(other, optimizers[1]), before, strict=True
        ):
            np.testing.assert_allclose(found[used], expected[used], rtol=1e-9, atol=1e-14)
            assert found[~used].tobytes() == old[~used].tobytes()


@pytest.mark.parametrize("name", ["sgd", "adagrad"])
def test_sparse_layers_have_the_same_numbers_where_the_rule_allows_it(device: str, name: str) -> None:
    ones = [network(device, sparse=True), network(device), network(device, sparse=True)]
    for one, x in zip(ones, (X, X, DENSE), strict=True):
        fit(one, x, OPTIMIZERS[name]())
    near(*ones[:2], rtol=0.0)
    near(*ones[1:], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("lazy", [False, True])
def test_sparse_and_dense_passes_in_turn(device: str, lazy: bool) -> None:
    """The whole gradient is right after each pass, whatever wrote to it before; so is a step by SGD."""
    one, other = network(device, sparse=lazy).build(FEATURES), network(device).build(FEATURES)
    optimizers = nnx.SGD(0.3, clip_norm=0.2), nnx.SGD(0.3, clip_norm=0.2)
    for number, data in enumerate([X, X, DENSE, X, DENSE, DENSE, X, X]):
        at = slice(number * 9, number * 9 + 1 + number)
        step(one, data[at], Y[at], optimizers[0])
        step(other, DENSE[at], Y[at], optimizers[1])
        np.testing.assert_allclose(one[0].dW, other[0].dW, rtol=1e-8, atol=1e-14)
        near(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_gradients_that_are_changed_before_the_step_count(device: str, name: str) -> None:
    """Also in rows that the pass did not use."""
    ones = network(device).build(FEATURES), network(device).build(FEATURES)
    for one, data in zip(ones, (X, DENSE), strict=True):
        optimizer = OPTIMIZERS[name](clip_norm=0.3)
        for number in range(3):
            at = slice(number * 5, number * 5 + 5)
            step(one, data[at], Y[at], None)
            one[0].dW[...] += 0.01
            optimizer.step(one)
    near(*ones, rtol=1e-8, atol=1e-11)


def test_weight_decay_is_refused_for_sparse_layers_only(device: str) -> None:
    fit(network(device), X, nnx.AdamW(0.01))
    with pytest.raises(
        nnx.ConfigurationError, match=r"weight_decay=0\.004 would shrink only the rows of dense_1\.W"
    ):
        fit(network(device, sparse=True), X, nnx.AdamW(0.01))
    fit(network(device, sparse=True), X, nnx.AdamW(groups={"dense_1.W": {"weight_decay": 0.0}}))


def test_groups_and_frozen_layers(device: str) -> None:
    groups = {"dense_1.W": {"learning_rate": 0.01}, "dense_1.b": {"learning_rate": 0.3, "l2": 0.1}}
    for frozen in (False, True):
        ones = [network(device), network(device)]
        for one, x in zip(ones, (DENSE, X), strict=True):
            one.layers[0].trainable = not frozen
            fit(one, x, nnx.SGD(0.1, groups=groups) if not frozen else nnx.SGD(0.1))
        near(*ones, rtol=1e-8, atol=1e-11)


# --------------------------------------------------------------------------------- a whole run


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_a_resumed_run_has_the_same_bytes(tmp_path: Any, name: str, lazy: bool) -> None:
    whole = network("cpu", lazy)
    losses = fit(whole, X, OPTIMIZERS[name]())["loss"]
    with pytest.raises(Killed):
        fit(
            network("cpu", lazy), X, OPTIMIZERS[name](), checkpoint=nnx.Checkpoint(tmp_path, 3),
            callbacks=[KillAt(7)],
        )  # fmt: skip
    resumed = network("cpu", lazy)
    long = X.copy()
    long.indices = long.indices.astype(np.int64)
    history = fit(resumed, long, OPTIMIZERS[name](), checkpoint=nnx.Checkpoint(tmp_path, 3, resume=True))
    assert history["loss"] == losses
    near(whole, resumed, rtol=0.0)
    with pytest.raises(nnx.ConfigurationError, match="other training data"):
        fit(
            network("cpu", lazy),
            2 * X,
            OPTIMIZERS[name](),
            checkpoint=nnx.Checkpoint(tmp_path, 3, resume=True),
        )


def test_a_value_that_is_not_finite_is_found(device: str) -> None:
    one = network(device).build(FEATURES)
    one[0].W[FEATURES // 2, 0] = np.inf
    with pytest.raises(nnx.TrainingError, match="output of dense_1 is not finite"):
        fit(one, X, nnx.SGD(0.1))
    history = fit(network(device), X, nnx.SGD(0.1), on_nonfinite="skip")
    assert history.left_out == 0


@pytest.mark.parametrize("lazy", [False, True])
def test_no_matrix_becomes_dense(device: str, lazy: bool) -> None:
    """Dense, X has 80 MB in float32; the network, its gradient and moments have 4 × 0.6 MB."""
    rows, features = 1000, 20_000
    places = np.random.default_rng(0).integers(0, features, 20 * rows)
    x = sparse.csr_array(
        (np.ones(20 * rows, np.float32), places, np.arange(0, 20 * rows + 1, 20)), (rows, features)
    )
    y = np.arange(rows) % 2
    one = nnx.Network(
        [nnx.Dense(8, sparse=lazy), nnx.ReLU(), nnx.Dense(2), nnx.Softmax()], device=device, seed=0
    )
    fit_it = {"loss": LOSS, "optimizer": nnx.Adam(), "batch_size": 50, "validation": 0.1}
    one.fit(x[:200], y[:200], **fit_it)
    tracemalloc.start()
    one.fit(x, y, **fit_it, metrics=["accuracy"])
    one.predict(x)
    one.evaluate(x, y, loss=LOSS)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20e6


def test_memory_does_not_grow_with_ever_new_numbers_of_used_columns(device: str) -> None:
    one, optimizer = network(device, sparse=True).build(FEATURES), nnx.Adam()
    for number in range(200):
        x = sparse.csr_array(np.where(RNG.random((3, FEATURES)) < number / 300, 1.0, 0.0))
        step(one, x, Y[:3], optimizer)
    kept = one[0].used_W._kept
    assert len(kept) < 100
    assert {len(array) for name, array in kept.items() if isinstance(name, str)} <= set(range(FEATURES + 1))


# ------------------------------------------------------------------------------ by hand, and errors


def test_a_batch_by_hand(device: str) -> None:
    one = network(device).build(FEATURES)
    batch = one.asarray(X)
    assert isinstance(batch, SparseBatch)
    np.testing.assert_allclose(one.forward(batch), one.forward(one.asarray(DENSE)), rtol=1e-12)
    other = nnx.Network([nnx.Dropout(0.1), nnx.Dense(3)], device=device, dtype="float64").build(FEATURES)
    np.testing.assert_array_equal(other.asarray(X), DENSE)
    with pytest.raises(
        nnx.errors.DataError, match=r"forward does not take these sparse rows: x = network\.asarray"
    ):
        other.forward(batch)
    with pytest.raises(nnx.errors.DataError, match="does not take these sparse rows"):
        network(device, dtype="float32").build(FEATURES).forward(batch)
    with pytest.raises(nnx.errors.DataError, match="60 features"):
        one.predict(X[:, :5])
    one.forward(batch, training=True)
    with pytest.raises(nnx.ConfigurationError, match="sparse rows have no gradient"):
        one.backward(np.zeros((90, 3)), input_gradient=True)


def test_what_does_not_fit_is_refused_before_training(device: str) -> None:
    nan = X.copy()
    nan.data[3] = np.nan
    for x, text in (
        (nan, "NaN or infinite, first in row"),
        (X[:, :0], "none of them may be 0"),
        (X[:80], "equally many rows"),
    ):
        one = network(device)
        with pytest.raises(nnx.errors.DataError, match=text):
            fit(one, x, nnx.SGD(0.1))
    with pytest.raises(nnx.errors.DataError, match="x is sparse, but this network takes integers"):
        nnx.Network([nnx.Embedding(5, 2), nnx.Flatten(), nnx.Dense(3)]).fit(X, Y, loss=LOSS, optimizer="sgd")
    late = nnx.Network([nnx.Dense(4), nnx.Dense(3, sparse=True), nnx.Softmax()], device=device)
    with pytest.raises(nnx.ConfigurationError, match=r"sparse=True, but its batches would be dense"):
        fit(late, X, nnx.SGD(0.1))
    rounded = network("numpy", sparse=True, dtype="float32", precision="bfloat16")
    with pytest.raises(nnx.ConfigurationError, match="precision bfloat16"):
        fit(rounded, X, nnx.SGD(0.1))
    with pytest.raises(nnx.errors.DataError, match="sample_weight"):
        fit(network(device), X, nnx.SGD(0.1), sample_weight=sparse.csr_array(WEIGHTS[:, None]))


def test_copies_and_files_keep_the_setting(tmp_path: Any) -> None:
    one = network(sparse=True).build(FEATURES)
    one.save(tmp_path / "m.safetensors")
    for other in (one.copy(), nnx.load(tmp_path / "m.safetensors")):
        assert other[0].sparse
        near(one, other, rtol=0.0)
    plain = network().build(FEATURES)
    assert "sparse" not in plain[0].config()
    near(plain, one, rtol=0.0)
    fit(plain, X, nnx.SGD(0.1))
    near(plain, plain.copy(), rtol=0.0)
    plain.to("numba").to("numpy")
    fit(plain, X, nnx.SGD(0.1))


class TestRanks:
    pytestmark = needs_mpi

    def test_they_train_as_one_process_does(self) -> None:
        """Each on its rows of a batch; also if one of them has none."""
        done = [mpi_jobs.run(ranks, JOBS / "sparse_rows.py") for ranks in (0, 3)]
        assert [one.returncode for one in done] == [0, 0], done[-1].stderr
        expected, found = (json.loads(one.stdout) for one in done)
        for name, values in expected.items():
            for value, other in zip(values, found[name], strict=True):
                np.testing.assert_allclose(other, value, rtol=1e-9, atol=1e-14, err_msg=name)
