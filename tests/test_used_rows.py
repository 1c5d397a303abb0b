"""Sparse parameters: a step changes the rows that its batch used, by the usual rule, and no others."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import numpy as np
import pytest
from support import mpi_jobs
from support.mpi_jobs import JOBS, needs_mpi
from support.resumed import KillAt, Killed

import nnx
from nnx.backends import Backend

VOCABULARY, UNITS, POSITIONS = 90, 3, 4
RNG = np.random.default_rng(1)
X = RNG.integers(0, VOCABULARY, (70, POSITIONS))
X[::3, 0] = 5  # a row of many batches
Y = RNG.integers(0, 3, 70)
LOSS = nnx.CategoricalCrossEntropy()
OPTIMIZERS = {
    "sgd": lambda **more: nnx.SGD(0.5, **more),
    "momentum": lambda **more: nnx.SGD(0.1, momentum=0.9, **more),
    "nesterov": lambda **more: nnx.SGD(0.1, momentum=0.9, nesterov=True, **more),
    "adam": lambda **more: nnx.Adam(nnx.Cosine(0.05, 40), **more),
    "rmsprop": lambda **more: nnx.RMSprop(0.02, momentum=0.5, **more),
    "adagrad": lambda **more: nnx.Adagrad(0.2, **more),
}
SAME = ("sgd", "adagrad")  # for these, the rule for a gradient of 0 changes nothing


def network(device: Any = None, sparse: bool = True, **options: Any) -> nnx.Network:
    layers = [
        nnx.Embedding(VOCABULARY, UNITS, sparse=sparse), nnx.Flatten(), nnx.Dense(3), nnx.Softmax(),
    ]  # fmt: skip
    return nnx.Network(layers, device=device, seed=0, **options).build(POSITIONS)


def fit(one: nnx.Network, optimizer: nnx.Optimizer, **options: Any) -> nnx.History:
    options = {"loss": LOSS, "epochs": 3, "batch_size": 16} | options
    return one.fit(X, Y, optimizer=optimizer, **options)


def step(one: nnx.Network, x: np.ndarray, y: np.ndarray, optimizer: nnx.Optimizer | None) -> None:
    """What `fit` does for a batch, by hand."""
    y_pred = one.forward(one.asarray(x), training=True)
    one.backward(LOSS.gradient(one.backend.asarray(y), y_pred))
    if optimizer is not None:
        optimizer.step(one)


def slots(one: nnx.Network, optimizer: nnx.Optimizer) -> dict[str, np.ndarray]:
    """The optimizer's slots for the table."""
    found = one.arena.states[optimizer].slots
    size = VOCABULARY * UNITS
    return {
        name: one.backend.to_numpy(slot)[:size].reshape(VOCABULARY, -1).copy() for name, slot in found.items()
    }


def same(one: nnx.Network, other: nnx.Network) -> None:
    for name, value in one.weights().items():
        assert value.tobytes() == other.weights()[name].tobytes(), name


# ------------------------------------------------------------------------------- the rule


@pytest.mark.parametrize("name", SAME)
def test_where_a_gradient_of_zero_changes_nothing_it_is_the_dense_rule(backend: Backend, name: str) -> None:
    ones = [network(backend, sparse) for sparse in (False, True)]
    losses = [fit(one, OPTIMIZERS[name]())["loss"] for one in ones]
    assert losses[0] == losses[1]
    same(*ones)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_used_rows_follow_the_dense_rule_and_others_rest(
    backend: Backend, dtype: np.dtype, name: str
) -> None:
    """After each step, from the same state, with other rows in each batch."""
    sparse, dense = network(backend, dtype=dtype), network(backend, sparse=False, dtype=dtype)
    one, other = OPTIMIZERS[name](), OPTIMIZERS[name]()
    for optimizer, made in ((one, sparse), (other, dense)):
        optimizer.state_for(made)
    for number in range(5):
        x, y = (
            X[number * 8 : number * 8 + (8 if number < 4 else 3)],
            Y[number * 8 :][: 8 if number < 4 else 3],
        )
        dense.set_weights(sparse.weights())
        for key, slot in sparse.arena.states[one].slots.items():
            dense.arena.states[other].slots[key][...] = slot
        before = sparse.weights()["embedding_1.W"], slots(sparse, one)
        step(sparse, x, y, one)
        step(dense, x, y, other)
        used = np.isin(np.arange(VOCABULARY), x)
        for found, expected, old in zip(
            (sparse.weights()["embedding_1.W"], *slots(sparse, one).values()),
            (dense.weights()["embedding_1.W"], *slots(dense, other).values()),
            (before[0], *before[1].values()),
            strict=True,
        ):
            assert found[used].tobytes() == expected[used].tobytes()
            assert found[~used].tobytes() == old[~used].tobytes()
        assert sparse.weights()["dense_1.W"].tobytes() == dense.weights()["dense_1.W"].tobytes()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_fit_is_the_loop_by_hand(backend: Backend, name: str) -> None:
    """On a device on which `fit` does not wait for steps, too."""
    fitted, by_hand = network(backend, dtype="float64"), network("numpy", dtype="float64")
    fit(fitted, OPTIMIZERS[name](), shuffle=False)
    optimizer = OPTIMIZERS[name]()
    for number in range(3 * 5):
        at = slice(number % 5 * 16, number % 5 * 16 + 16)
        step(by_hand, X[at], Y[at], optimizer)
    for key, value in by_hand.weights().items():
        np.testing.assert_allclose(fitted.weights()[key], value, rtol=1e-9, atol=1e-12, err_msg=key)


def test_lazy_adam_as_written_by_hand(on_cpu: None) -> None:
    one, optimizer = network("cpu", dtype="float64"), nnx.Adam(0.05)
    W, m, v = one[0].W.copy(), np.zeros((VOCABULARY, UNITS)), np.zeros((VOCABULARY, UNITS))
    for t in range(1, 40):
        at = RNG.integers(0, 70, 5)
        step(one, X[at], Y[at], optimizer)
        g = one[0].dW
        for row in np.unique(X[at]):
            m[row] = 0.9 * m[row] + 0.1 * g[row]
            v[row] = 0.999 * v[row] + 0.001 * g[row] ** 2
            rate = 0.05 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
            W[row] -= rate * m[row] / (np.sqrt(v[row]) + 1e-7)
        np.testing.assert_allclose(one[0].W, W, rtol=1e-10, atol=1e-13)


# --------------------------------------------------------------------- gradients stay whole


@pytest.mark.parametrize("clip", [{}, {"clip_norm": 0.05}, {"clip_value": 0.002}])
def test_the_whole_gradient_is_that_of_a_dense_layer(backend: Backend, clip: dict[str, float]) -> None:
    sparse, dense = network(backend), network(backend, sparse=False)
    one, other = nnx.SGD(0.5, **clip), nnx.SGD(0.5, **clip)
    for number in range(12):
        at = slice(number * 5, number * 5 + 1 + number % 5)
        step(sparse, X[at], Y[at], one)
        step(dense, X[at], Y[at], other)
        to_numpy = sparse.backend.to_numpy
        np.testing.assert_allclose(
            to_numpy(sparse.arena.gradients), to_numpy(dense.arena.gradients), rtol=2e-6, atol=1e-9
        )


@pytest.mark.parametrize("clip", [{}, {"clip_norm": 0.05}])
def test_gradients_that_are_changed_before_the_step_count(backend: Backend, clip: dict[str, float]) -> None:
    sparse, dense = network(backend), network(backend, sparse=False)
    one, other = nnx.SGD(0.5, **clip), nnx.SGD(0.5, **clip)
    for number in range(4):
        at = slice(number * 5, number * 5 + 5)
        for made, optimizer in ((sparse, one), (dense, other)):
            step(made, X[at], Y[at], None)
            made.arena.gradients *= 0.25  # as for a loss that was scaled up
            made[0].dW[5] = 0.0  # and one row is to stay
            optimizer.step(made)
    to_numpy = sparse.backend.to_numpy
    np.testing.assert_allclose(
        to_numpy(sparse.arena.values), to_numpy(dense.arena.values), rtol=2e-6, atol=1e-8
    )
    assert to_numpy(sparse[0].W)[5].tobytes() == network(backend).weights()["embedding_1.W"][5].tobytes()


def test_what_else_wrote_to_the_gradient_is_cleared(on_cpu: None) -> None:
    one = network("cpu")
    step(one, X[:4], Y[:4], None)
    expected = one[0].dW.copy()
    one.arena.gradients[...] = np.nan
    one.arena.sparse.forget()
    step(one, X[:4], Y[:4], None)
    np.testing.assert_array_equal(one[0].dW, expected)
    layer = nnx.Embedding(9, 2, sparse=True, seed=0).build(3)
    assert nnx.gradcheck.check(layer, x=[[1, 2, 8], [8, 8, 0]]).passed


def test_a_step_without_a_pass_changes_nothing_in_the_table(on_cpu: None) -> None:
    one, before = network("cpu"), network("cpu").weights()["embedding_1.W"]
    nnx.Adam(0.1, clip_norm=1.0).step(one)
    assert one.weights()["embedding_1.W"].tobytes() == before.tobytes()


@pytest.mark.parametrize("policy", ["stop", "skip"])
def test_values_that_are_not_finite_are_found(on_cpu: None, policy: str) -> None:
    one, other = network("cpu"), network("cpu")
    for made in (one, other):
        made[0].W[X[20, 1]] = np.inf  # in two batches or more
        before = made[0].W.copy()
        if policy == "stop":
            with pytest.raises(nnx.TrainingError, match="output of embedding_1 is not finite"):
                fit(made, nnx.Adam(0.1), shuffle=False, batch_size=7)
            assert np.isin(np.arange(VOCABULARY), X[:14])[(before != made[0].W).any(axis=1)].all()
        else:
            history = fit(made, nnx.Adam(0.1), on_nonfinite="skip", shuffle=False, batch_size=7, epochs=2)
            assert 2 <= history.left_out < 20
            assert np.isfinite(made[0].W[np.arange(VOCABULARY) != X[20, 1]]).all()
            assert np.isfinite(made[0].dW).all()
    same(one, other)


def test_a_gradient_that_is_not_finite_is_found(on_cpu: None) -> None:
    one = network("cpu")
    step(one, X[:4], Y[:4], None)
    flags = []
    for value in (1.0, np.nan):
        one[0].used_W.sums[0, 0] = value
        fault = np.zeros(1, np.int64)
        for part in one.arena.sparse.parts(one.arena.gradients):
            one.backend.flag_nonfinite(np.zeros(1, np.float32), part, fault, 3)
        flags.append(fault[0])
    assert flags == [0, 3]


# ------------------------------------------------------------------------ settings, and state


def test_weight_decay_is_refused_unless_a_group_takes_it_away(on_cpu: None) -> None:
    text = r"weight_decay=0\.004 would shrink only the rows of embedding_1\.W that a batch uses: set groups="
    one = network("cpu")
    before = one.weights()
    with pytest.raises(nnx.ConfigurationError, match=text):
        fit(one, nnx.AdamW())
    with pytest.raises(nnx.ConfigurationError, match=r"SGD: l2=0\.1 would shrink"):
        step(one, X[:4], Y[:4], nnx.SGD(0.1, l2=0.1))
    with pytest.raises(nnx.ConfigurationError, match=r"l2=0\.2 would shrink"):
        fit(one, nnx.Adam(groups={"embedding_1.*": {"l2": 0.2}}))
    assert all((one.weights()[name] == value).all() for name, value in before.items())
    fit(one, nnx.AdamW(groups={"embedding_1.W": {"weight_decay": 0.0}}))
    frozen = network("cpu")
    frozen[0].trainable = False
    fit(frozen, nnx.AdamW())
    assert frozen.weights()["embedding_1.W"].tobytes() == before["embedding_1.W"].tobytes()


def test_groups_have_their_own_learning_rate(on_cpu: None) -> None:
    still, moved = network("cpu"), network("cpu")
    before = still.weights()["embedding_1.W"]
    fit(still, nnx.Adam(0.01, groups={"embedding_1.W": {"learning_rate": 0.0}}))
    assert still.weights()["embedding_1.W"].tobytes() == before.tobytes()
    both = network("cpu", sparse=False), network("cpu")
    for one in both:
        fit(one, nnx.SGD(0.01, groups={"embedding_1.W": {"learning_rate": 0.7}}))
    same(*both)
    fit(moved, nnx.SGD(0.01))
    assert not np.array_equal(moved[0].W, both[0][0].W)


def test_an_optimizer_of_a_user_gets_the_used_rows(on_cpu: None) -> None:
    sizes = []

    class Sign(nnx.Optimizer):
        def update(self, backend, span, fault, learning_rate, step):
            sizes.append(span.values.size)
            span.values[...] -= learning_rate * np.sign(span.gradients)

    one, before = network("cpu"), network("cpu").weights()["embedding_1.W"]
    step(one, X[:2], Y[:2], Sign(0.1))
    assert sizes[0] == 2 * POSITIONS * UNITS
    changed = (one.weights()["embedding_1.W"] != before).any(axis=1)
    assert set(np.flatnonzero(changed)) == set(X[:2].ravel())


def test_several_tables_next_to_each_other(backend: Backend) -> None:
    """Two sparse tables with padding between them, one frozen, one dense."""

    def made(sparse: bool) -> nnx.Network:
        tables = [
            [nnx.Embedding(VOCABULARY, 1, sparse=sparse)], [nnx.Embedding(VOCABULARY, 3, sparse=sparse)],
            [nnx.Embedding(VOCABULARY, 2, sparse=sparse)], [nnx.Embedding(VOCABULARY, 2)],
        ]  # fmt: skip
        tables[2][0].trainable = False
        layers = [nnx.Concatenate(tables), nnx.Flatten(), nnx.Dense(3), nnx.Softmax()]
        return nnx.Network(layers, device=backend, seed=2)

    ones = [made(False), made(True)]
    for one in ones:
        fit(one, nnx.SGD(0.3, clip_value=0.01))
    same(*ones)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_resumed_run_has_the_same_bytes(on_cpu: None, tmp_path: Any, name: str) -> None:
    whole = network("cpu")
    losses = fit(whole, OPTIMIZERS[name]())["loss"]
    with pytest.raises(Killed):
        fit(network("cpu"), OPTIMIZERS[name](), checkpoint=nnx.Checkpoint(tmp_path, 3), callbacks=[KillAt(7)])
    resumed = network("cpu")
    history = fit(resumed, OPTIMIZERS[name](), checkpoint=nnx.Checkpoint(tmp_path, 3, resume=True))
    assert history["loss"] == losses
    same(whole, resumed)


def test_a_move_between_a_pass_and_a_step(on_cpu: None) -> None:
    moved, still = network("numpy", dtype="float64"), network("numpy", dtype="float64")
    optimizers = nnx.Adam(0.1), nnx.Adam(0.1)
    for number in range(3):
        at = slice(4 * number, 4 * number + 4)
        for one, optimizer in zip((moved, still), optimizers, strict=True):
            step(one, X[at], Y[at], None)
            if one is moved:
                one.to("cpu").to("numpy").to("cpu")
            optimizer.step(one)
    np.testing.assert_allclose(moved[0].W, still[0].W, rtol=1e-9)
    np.testing.assert_allclose(moved[0].dW, still[0].dW, rtol=1e-9, atol=1e-15)


def test_copies_and_files_keep_the_setting(on_cpu: None, tmp_path: Any) -> None:
    one = network("cpu")
    one.save(tmp_path / "m.safetensors")
    for other in (one.copy(), nnx.load(tmp_path / "m.safetensors")):
        assert other[0].sparse
        assert list(other.arena.sparse) == [0]
    dense = network("cpu", sparse=False)
    assert not dense.arena.sparse
    assert "sparse" not in dense[0].config()
    with pytest.raises(nnx.ConfigurationError, match="sparse"):
        nnx.Embedding(3, 2, sparse="yes")


# ------------------------------------------------------------------------------- a long run


def test_a_long_run_uses_rows_again_and_again(on_cpu: None) -> None:
    """The task: the sum of hidden scores of the numbers; each of 300 occurs about 200 times an epoch."""
    rng = np.random.default_rng(0)
    scores = rng.standard_normal(300)
    x = rng.integers(0, 300, (6000, 10))
    y = (scores[x].sum(axis=1) > 0).astype(int)
    layers = [nnx.Embedding(300, 8, sparse=True), nnx.Flatten(), nnx.Dense(2), nnx.Softmax()]
    one = nnx.Network(layers, device="cpu", seed=0)
    history = one.fit(
        x, y, loss="cross_entropy", optimizer=nnx.Adam(0.01), epochs=12, batch_size=50,
        validation=0.2, metrics=["accuracy"],
    )  # fmt: skip
    assert history["val_accuracy"][-1] > 0.9


@pytest.mark.parametrize("device", ["numba", "numpy"])
def test_a_step_allocates_no_table(on_cpu: None, device: str) -> None:
    """Nor anything of that size: after the first epoch, what a step allocates is far below a batch's rows."""
    if device == "numba":
        pytest.importorskip("numba", reason="Numba is not installed: pip install 'nnx-arrays[fast]'")
    vocabulary, rows, positions, units = 20_000, 32, 20, 32
    x, y = RNG.integers(0, vocabulary, (4 * rows, positions)), RNG.integers(0, 2, 4 * rows)
    layers = [nnx.Embedding(vocabulary, units, sparse=True), nnx.Flatten(), nnx.Dense(2), nnx.Softmax()]
    one, optimizer = nnx.Network(layers, device=device, seed=0), nnx.Adam()
    batches = [(one.asarray(x[at : at + rows]), y[at : at + rows]) for at in range(0, 4 * rows, rows)]
    dy = one.backend.zeros((rows, 2), "float32")
    peaks = []
    for number in range(3):
        for x_batch, _ in batches:
            if number == 2:
                tracemalloc.start()
            one.forward(x_batch, training=True)
            one.backward(dy)
            optimizer.step(one)
            if number == 2:
                peaks.append(tracemalloc.get_traced_memory()[1])
                tracemalloc.stop()
    batch = rows * positions * units * 4
    assert max(peaks) < (batch if device == "numba" else 5 * batch) < vocabulary * units


# ------------------------------------------------------------------------------- ranks


class TestRanks:
    pytestmark = needs_mpi

    def test_they_update_the_rows_that_any_of_them_used(self) -> None:
        done = [mpi_jobs.run(ranks, JOBS / "sparse.py") for ranks in (0, 2, 3)]
        assert [one.returncode for one in done] == [0, 0, 0], done[-1].stderr
        expected, *others = (json.loads(one.stdout) for one in done)
        for found in others:
            assert found.keys() == expected.keys()
            for name, value in expected.items():
                np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-14, err_msg=name)
