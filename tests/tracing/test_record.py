"""A traced step is the next step of `fit`, bit for bit, and leaves the network as it was."""

from __future__ import annotations

import numpy as np
import pytest

import nnx
from nnx.layers import KINDS as LAYERS
from nnx.losses import KINDS as LOSSES
from nnx.optimizers import KINDS as OPTIMIZERS

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 2))
XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float), np.array([[0], [1], [1], [0]], float)


def small(*last, device="numpy", dtype="float32", **options):
    layers = [nnx.Dense(3, 4), nnx.Tanh(), nnx.Dense(2), *last]
    return nnx.Network(layers, device=device, dtype=dtype, seed=2, **options)


def fitted(network, x, y, loss, optimizer):
    """What `fit` makes of a copy in one step on the same batch."""
    history = network.fit(x, y, loss=loss, optimizer=optimizer, batch_size=len(y), shuffle=False)
    return history["loss"][0]


def equal(trace, network):
    """Every parameter of the trace is that of the network, to the last bit."""
    for name, value, _ in network.parameters():
        np.testing.assert_array_equal(trace.parameters[name].after, network.backend.to_numpy(value), name)


# ------------------------------------------------------------------------- the step is that of fit


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("device", ["numpy", "cpu"])
@pytest.mark.parametrize("kind", OPTIMIZERS, ids=lambda kind: kind.__name__)
def test_every_optimizer_takes_the_step_of_fit(kind, device, dtype):
    network, optimizer = small(device=device, dtype=dtype), kind()
    trace = network.trace(X, Y, "mse", optimizer)
    loss = fitted(network, X, Y, "mse", optimizer)
    equal(trace, network)
    if kind is not nnx.LBFGS:  # which reports the loss after its step
        assert trace.loss.total == loss
        for name, _, gradient in network.parameters():
            np.testing.assert_array_equal(trace.parameters[name].gradient, gradient)


SPECIAL = {
    "momentum": lambda: nnx.SGD(0.1, momentum=0.9, nesterov=True, l2=0.1),
    "rmsprop with momentum": lambda: nnx.RMSprop(momentum=0.5, weight_decay=0.1),
    "clipping": lambda: nnx.Adam(clip_norm=0.1, clip_value=0.05),
    "groups and a schedule": lambda: nnx.Adam(nnx.Warmup(0.01, 9), groups={"*.b": {"learning_rate": 0.5}}),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_the_third_step_is_that_of_fit(name):
    """With the optimizer's state and the number of steps of two earlier ones."""
    network, optimizer = small(nnx.Dropout(0.4), device="cpu"), SPECIAL[name]()
    network.fit(X, Y, loss="mse", optimizer=optimizer, epochs=2, batch_size=5)
    trace = network.trace(X, Y, "mse", optimizer)
    assert trace.step == 3
    fitted(network, X, Y, "mse", optimizer)
    equal(trace, network)
    weight = trace.weight("dense_1.W[0, 1]")
    assert weight.after == network.layers[0].W[0, 1]
    clips = optimizer.clip_norm is not None
    assert (weight.clipped != weight.gradient) is clips


OUTPUTS = {"Pinball": 3, "GaussianNLL": 2}


@pytest.mark.parametrize("kind", LOSSES, ids=lambda kind: kind.__name__)
def test_every_loss_gives_that_of_fit(kind):
    loss = kind([0.1, 0.5, 0.9]) if kind is nnx.Pinball else kind()
    last = {"sigmoid": nnx.Sigmoid, "softmax": nnx.Softmax, "exponential": nnx.Exp}.get(kind.activation)
    layers = [
        nnx.Dense(3, 4),
        nnx.ReLU(),
        nnx.Dense(OUTPUTS.get(kind.__name__, 2)),
        *([last()] if last else []),
    ]
    network = nnx.Network(layers, device="numpy", seed=1)
    y = np.eye(2)[[0, 1, 1, 0, 1]] if kind.__name__ not in OUTPUTS else RNG.normal(size=5)
    trace = network.trace(X, y, loss, "sgd")
    assert trace.loss.total == fitted(network, X, y, loss, "sgd")
    equal(trace, network)


def network_with(kind, case):
    """A network around a layer, and the rows that it takes."""
    layer = case.made(kind)
    shape = case.options.get("inputs", layer.inputs or 4)
    shape = shape if isinstance(shape, tuple) else (shape,)
    x = RNG.normal(size=(6, *shape))
    if layer.input_dtype == "integer":
        x = RNG.integers(0, layer.input_limit or 3, (6, *shape))
    if layer.term:
        return [nnx.Dense(4), nnx.Sigmoid(), layer, nnx.Dense(2)], x
    return [layer, nnx.Flatten(), nnx.Dense(2)], x


CASES = [(kind, case) for kind in LAYERS for case in kind.record.cases[:1]]


@pytest.mark.parametrize(("kind", "case"), CASES, ids=[kind.__name__ for kind, _ in CASES])
def test_every_layer_is_recorded(kind, case):
    if kind is nnx.TiedDense:
        first = nnx.Dense(3)
        layers, x = [first, nnx.Tanh(), nnx.TiedDense(first), nnx.Dense(2)], RNG.normal(size=(6, 4))
    else:
        layers, x = network_with(kind, case)
    network = nnx.Network(layers, device="numpy", seed=5)
    y = RNG.normal(size=(6, 2))
    trace = network.trace(x, y, "mse", "adam")
    assert trace.loss.total == fitted(network, x, y, "mse", "adam")
    equal(trace, network)
    assert {one.name for one in trace.layers} >= {layer.name for layer in network.layers}
    for one in trace.layers:
        assert one.x.shape == (6, *one.layer.input_shape)
        assert one.y.shape == (6, *one.layer.output_shape)
        assert one.dy is None or one.dy.shape == one.y.shape
        assert one.dx is None or one.dx.shape == one.x.shape
    assert max(map(len, trace.text().splitlines())) <= 80


# ----------------------------------------------------------------- what the passes saw, and the rest


def test_the_numbers_fit_together():
    """In float64 on NumPy: z, the activation, both products, and the slopes that layers pass on."""
    network = small(nnx.Sigmoid(), dtype="float64")
    trace = network.trace(X, np.round(np.abs(np.sin(Y))), "binary_cross_entropy", "sgd")
    dense, tanh, second, sigmoid = trace.layers
    W, b, W2 = (trace.parameters[name].before for name in ("dense_1.W", "dense_1.b", "dense_2.W"))
    np.testing.assert_array_equal(dense.y, dense.x @ W + b)
    np.testing.assert_array_equal(tanh.y, np.tanh(dense.y))
    np.testing.assert_array_equal(tanh.dx, dense.dy)
    np.testing.assert_array_equal(trace.parameters["dense_1.W"].gradient, dense.x.T @ dense.dy)
    np.testing.assert_array_equal(tanh.dy, second.dx)
    np.testing.assert_array_equal(second.dx, second.dy @ W2.T)
    np.testing.assert_array_equal(second.dy, trace.loss.dy)
    assert (tanh.fused, sigmoid.fused) == ("the layer before it", "the loss")
    np.testing.assert_allclose(sigmoid.dx, (sigmoid.y - trace.loss.y_true) / 10, rtol=1e-13)
    assert dense.dx is None


def test_a_network_that_is_not_fused_has_every_gradient():
    trace = small(nnx.Sigmoid(), fuse=False).trace(X, np.round(np.abs(np.sin(Y))), "mse", "sgd")
    assert [one.fused for one in trace.layers] == [""] * 4
    np.testing.assert_array_equal(trace.layers[-1].dy, trace.loss.dy)


@pytest.mark.parametrize("built", [True, False])
def test_the_network_and_the_optimizer_do_not_change(built):
    network = nnx.Network([nnx.Dense(4), nnx.BatchNorm(), nnx.Dropout(0.5), nnx.Dense(2)], seed=3)
    optimizer = nnx.Adam()
    if built:
        network.fit(X, Y, loss="mse", optimizer=optimizer, batch_size=5)
        before = network.weights(), network.arena.step, network.arena.states[optimizer].step
        slots = {name: slot.copy() for name, slot in network.arena.states[optimizer].slots.items()}
    trace = network.trace(X, Y, "mse", optimizer)
    assert trace.network is not network
    if not built:
        assert network.inputs is None
        return
    after = network.weights(), network.arena.step, network.arena.states[optimizer].step
    assert after[1:] == before[1:]
    for name, value in before[0].items():
        np.testing.assert_array_equal(after[0][name], value)
    for name, slot in slots.items():
        np.testing.assert_array_equal(network.arena.states[optimizer].slots[name], slot)


def test_running_statistics_are_there_before_and_after():
    network = nnx.Network([nnx.Dense(3, 4), nnx.BatchNorm(), nnx.Dense(2)], device="numpy", seed=3)
    before = network.weights()
    trace = network.trace(X, Y, "mse", "sgd")
    fitted(network, X, Y, "mse", "sgd")
    assert set(trace.statistics) == {"batchnorm_1.running_mean", "batchnorm_1.running_variance"}
    for name, (first, second) in trace.statistics.items():
        np.testing.assert_array_equal(first, before[name])
        np.testing.assert_array_equal(second, network.weights()[name])


def test_terms_of_layers_are_in_the_loss():
    network = nnx.Network(
        [nnx.Dense(3, 4), nnx.Sigmoid(), nnx.KLSparsity(0.1), nnx.Dense(2)], device="numpy", seed=0
    )
    trace = network.trace(X, Y, "mse", "sgd")
    ((name, term),) = trace.loss.terms.items()
    assert name == "klsparsity_1"
    assert trace.loss.total == pytest.approx(trace.loss.value + term, rel=1e-6)
    assert trace.loss.total == fitted(network, X, Y, "mse", "sgd")


def test_layers_in_containers_are_recorded():
    network = nnx.Network([nnx.Dense(3, 4), nnx.Residual([nnx.Dense(4), nnx.Tanh()]), nnx.Dense(2)], seed=0)
    trace = network.trace(X, Y, "mse", "sgd")
    names = ["dense_1", "residual_1", "residual_1.dense_1", "residual_1.tanh_1", "dense_2"]
    assert [one.name for one in trace.layers] == names
    np.testing.assert_allclose(trace["residual_1"].y, trace["residual_1.tanh_1"].y + trace["residual_1"].x)


def test_your_own_layer_loss_and_optimizer_are_traced():
    class Half(nnx.Layer):
        """y = x / 2."""

        def forward_into(self, x, y, workspace):
            y[...] = x * 0.5

        def backward_into(self, dy, dx, workspace):
            if dx is not None:
                dx[...] = dy * 0.5

    class Fourth(nnx.Loss):
        """L = mean of (p − y)⁴."""

        def formula(self, backend, y, p):
            e = p - y
            return backend.xp.sum(e**4, axis=1), 4 * e**3

    class Plain(nnx.Optimizer):
        def update(self, backend, span, fault, learning_rate, step):
            span.values[...] -= learning_rate * span.gradients

    network = small(Half())
    trace = network.trace(X, Y, Fourth(), Plain(0.1))
    assert trace.loss.total == fitted(network, X, Y, Fourth(), Plain(0.1))
    equal(trace, network)
    assert "y = x / 2" in trace.text()
    assert "the update of Plain" in trace.text()


def test_sparse_rows_are_traced():
    sparse = pytest.importorskip("scipy.sparse", reason="needs SciPy, which is not installed")
    network = small(device="cpu")
    trace = network.trace(sparse.csr_array(X), Y, "mse", "sgd")
    np.testing.assert_array_equal(trace["dense_1"].x, X.astype(np.float32))
    network.fit(sparse.csr_array(X), Y, loss="mse", optimizer="sgd", batch_size=5, shuffle=False)
    equal(trace, network)


def test_what_cannot_be_traced_is_one_line():
    with pytest.raises(nnx.ConfigurationError, match="a slice cannot be traced"):
        small()[:1].trace(X, Y, "mse", "sgd")
    with pytest.raises(nnx.DataError, match=r"shape \(rows, features\), and none of them may be 0"):
        small().trace(X[:0], Y[:0], "mse", "sgd")
    with pytest.raises(nnx.DataError, match="targets of shape"):
        small().trace(X, Y[:, :1], "mse", "sgd")
    with pytest.raises(nnx.TrainingError, match="not finite"):
        small().trace(X, Y * 1e30, "mse", "sgd")
