"""Networks with bfloat16 factors: how the precision is chosen, and which weights a pass uses."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest
from support.devices_here import usable
from support.resumed import KillAt, Killed
from support.resumed import same as same_run
from support.resumed import train as train_resumed
from support.small_networks import X37, Y37, backward, every_layer, fit, forward, host, same_bytes, small

import nnx
from nnx.backends import resolve
from nnx.backends.numpy_backend import NumpyBackend

PLAIN = {"precision": "bfloat16", "device": "numpy"}


@pytest.fixture(params=["numpy", "numba", pytest.param("cupy", marks=pytest.mark.gpu)])
def device(request):
    """Each device that computes with bfloat16 factors."""
    backend = usable(request.param)
    if fault := backend.bfloat16_fault():
        pytest.skip(f"no bfloat16 on {request.param} here: {fault}")
    return request.param


def r(x):
    """x rounded to bfloat16, on the host."""
    return resolve("numpy").round_to_bfloat16(np.ascontiguousarray(x, "f4"), np.empty(x.shape, "f4"))


# ----------------------------------------------------------------------------------- the choice


@pytest.mark.parametrize(
    ("options", "precision"),
    [
        ({}, "float32"),
        ({"dtype": "float64"}, "float64"),
        ({"dtype": np.float32}, "float32"),
        ({"precision": "float32"}, "float32"),
        ({"precision": "float64"}, "float64"),
        ({"precision": "float64", "dtype": "float64"}, "float64"),
        ({"precision": "bfloat16"}, "bfloat16"),
        ({"precision": "bfloat16", "dtype": "float32"}, "bfloat16"),
        ({"precision": "auto"}, "float32"),  # the plain form is slower than float32
        ({"precision": "auto", "dtype": "float32"}, "float32"),
    ],
)
def test_precision_and_dtype_are_one_choice(options, precision):
    network = small(device="numpy", **options)
    assert network.precision == precision
    assert network.dtype == ("float64" if precision == "float64" else "float32")
    assert f", {precision}, cpu" in network.summary()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"precision": "float32", "dtype": "float64"}, "precision='float32' and dtype='float64' contradict"),
        ({"precision": "bfloat16", "dtype": "float64"}, "contradict each other: leave out dtype"),
        ({"precision": "auto", "dtype": "float64"}, "contradict each other: leave out dtype"),
        ({"precision": "bfloat"}, "precision must be one of .* not 'bfloat': did you mean 'bfloat16'?"),
        ({"precision": 16}, "precision must be one of float32, float64, bfloat16, auto, not 16"),
        ({"dtype": "bfloat16"}, "dtype must be float32 or float64, not 'bfloat16': use precision='bfloat16'"),
        ({"dtype": "int8"}, "dtype must be float32 or float64, not 'int8'$"),
    ],
)
def test_a_wrong_choice_is_named(options, text):
    with pytest.raises(nnx.ConfigurationError, match=text.replace("?", r"\?")):
        small(device="numpy", **options)


class Faster(NumpyBackend):
    bfloat16_pays = True


@pytest.mark.parametrize(
    ("make", "inputs", "expected"),
    [
        (lambda: [nnx.Dense(128), nnx.ReLU(), nnx.Dense(2)], 3, "bfloat16"),
        (lambda: [nnx.Residual([nnx.Dense(128)]), nnx.Dense(2)], 128, "bfloat16"),
        (lambda: [nnx.Dense(127), nnx.ReLU(), nnx.Dense(2)], 3, "float32"),
        (lambda: [nnx.Conv1D(8, 3), nnx.Flatten(), nnx.Dense(128)], (6, 3), "float32"),
    ],
)
def test_auto_is_bfloat16_where_the_backend_says_that_it_pays_and_products_are_large(
    tmp_path, make, inputs, expected
):
    assert nnx.Network(make(), device=Faster(), precision="auto").precision == expected
    assert nnx.Network(make(), device="numpy", precision="auto").precision == "float32"
    path = tmp_path / "model.safetensors"
    nnx.Network(make(), device="numpy").build(inputs).save(path)
    assert nnx.load(path, Faster(), "auto").precision == expected
    assert nnx.load(path, Faster()).precision == "float32"


class Lacking(NumpyBackend):
    device, name = "cpu", "lacking"

    def bfloat16_fault(self):
        return "it needs this and that"


def test_a_device_that_lacks_something_says_so_and_leaves_everything_as_it_was(tmp_path):
    text = re.escape(
        "device cpu (lacking) cannot compute with precision bfloat16: it needs this and that; or choose "
        "device='numpy', which computes it slowly, or precision='float32'"
    )
    with pytest.raises(nnx.DeviceError, match=text):
        small(device=Lacking(), precision="bfloat16")
    network = small(**PLAIN)
    before = network.predict(X37)
    with pytest.raises(nnx.DeviceError, match=text):
        network.to(Lacking())
    assert network.backend.name == "numpy"
    assert network.predict(X37).tobytes() == before.tobytes()
    network.save(tmp_path / "model.safetensors")
    with pytest.raises(nnx.DeviceError, match=text):
        nnx.load(tmp_path / "model.safetensors", Lacking())
    assert nnx.load(tmp_path / "model.safetensors", Lacking(), "float32").precision == "float32"


def test_the_precision_of_a_network_cannot_be_set():
    with pytest.raises(AttributeError):
        small().precision = "bfloat16"


# ------------------------------------------------------------------------------------ the passes


def test_only_factors_of_products_are_rounded(device):
    """Against the formulas, written out; every array of the network is float32."""
    network = nnx.Network(
        [nnx.Dense(3, 5), nnx.ReLU(), nnx.Dense(2)], seed=1, precision="bfloat16", device=device
    )
    w = network.weights()
    w["dense_1.b"][...] = np.linspace(-1, 1, 5)
    network.set_weights(w)
    dy = np.linspace(-1.0, 1.0, 74).reshape(37, 2).astype(np.float32)
    y, dx = forward(network, X37, training=True), backward(network, dy, input_gradient=True)

    hidden = np.maximum(r(X37).astype("f8") @ r(w["dense_1.W"]) + w["dense_1.b"], 0)
    close = {"rtol": 2e-5, "atol": 2e-5}  # float32's sums of 37 terms
    expected = r(hidden).astype("f8") @ r(w["dense_2.W"]) + w["dense_2.b"]
    np.testing.assert_allclose(y, expected, **close)
    dz = (r(dy).astype("f8") @ r(w["dense_2.W"]).T) * (hidden > 0)
    np.testing.assert_allclose(dx, r(dz).astype("f8") @ r(w["dense_1.W"]).T, **close)
    gradients = {name: network.backend.to_numpy(gradient) for name, _, gradient in network.parameters()}
    np.testing.assert_allclose(gradients["dense_2.W"], r(hidden).T.astype("f8") @ r(dy), **close)
    np.testing.assert_allclose(gradients["dense_2.b"], dy.sum(0), **close)
    np.testing.assert_allclose(gradients["dense_1.W"], r(X37).T.astype("f8") @ r(dz), **close)
    np.testing.assert_allclose(gradients["dense_1.b"], dz.sum(0), **close)
    arrays = (*w.values(), *gradients.values(), y, dx)
    assert {array.dtype.name for array in arrays} == {"float32"}


def test_a_gradient_in_float64_is_that_in_float32(device):
    """The last layer is a product, whose kernel rounds the bits of dy; as float64 they would be others."""
    dy, found = np.linspace(-1.0, 1.0, 74).reshape(37, 2), []
    for kind in ("float32", "float64"):
        network = small(precision="bfloat16", device=device)
        forward(network, X37, training=True)
        network.backward(network.backend.asarray(dy.astype("float32"), kind))
        found.append(host(network.arena.gradients).tobytes())
    assert found[0] == found[1]


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 2, 3)], ids=str)
def test_rows_of_any_shape(device, shape):
    """A dense layer on the last axis is the same as on rows of features."""
    x = np.random.default_rng(0).normal(size=(6, *shape)).astype(np.float32)
    layers = [nnx.Dense(4), nnx.Tanh(), nnx.Residual([nnx.Dense(4), nnx.ReLU(), nnx.Dense(4)]), nnx.Dense(2)]
    network = nnx.Network(layers, seed=0, precision="bfloat16", device=device).build(shape)
    flat = nnx.Network(
        [nnx.Dense(4), nnx.Tanh(), nnx.Residual([nnx.Dense(4), nnx.ReLU(), nnx.Dense(4)]), nnx.Dense(2)],
        seed=0, precision="bfloat16", device=device,
    ).build(3)  # fmt: skip
    flat.set_weights(network.weights())
    y, expected = forward(network, x, training=True), forward(flat, x.reshape(-1, 3), training=True)
    np.testing.assert_array_equal(y.reshape(expected.shape), expected)
    dx = backward(network, np.ones_like(y), input_gradient=True)
    expected = backward(flat, np.ones_like(expected), input_gradient=True)
    np.testing.assert_array_equal(dx.reshape(expected.shape), expected)
    for (name, _, one), (_, _, other) in zip(network.parameters(), flat.parameters(), strict=True):
        np.testing.assert_array_equal(host(one), host(other), err_msg=name)


def test_fused_or_not_the_network_learns_the_same(device):
    """The same numbers but for last bits, which now and then round a factor to its other neighbour."""
    losses = []
    for fuse in (True, False):
        network = every_layer(precision="bfloat16", device=device, fuse=fuse)
        losses.append(fit(network, y=Y37.argmax(axis=1), loss=nnx.CategoricalCrossEntropy())["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=2**-9)


def test_gradients_differ_from_those_of_float32_by_no_more_than_the_rounding(device):
    """Each of the five products on the way to the first layer's gradient has two rounded factors.

    A factor's error is at most 2⁻⁸ of it, and the network's slopes are about 1, so in norm the error is at
    most about 10 · 2⁻⁸; errors of either sign leave far less.
    """
    found = {}
    for precision in ("float32", "bfloat16"):
        layers = [nnx.Dense(20, 30), nnx.Tanh(), nnx.Dense(30), nnx.Tanh(), nnx.Dense(4)]
        network = nnx.Network(layers, seed=0, precision=precision, device=device)
        x = np.random.default_rng(1).normal(size=(64, 20)).astype(np.float32)
        dy = np.random.default_rng(2).normal(size=(64, 4)).astype(np.float32)
        forward(network, x, training=True), backward(network, dy)
        found[precision] = {n: network.backend.to_numpy(g).copy() for n, _, g in network.parameters()}
    for name, exact in found["float32"].items():
        error = np.linalg.norm(found["bfloat16"][name] - exact) / np.linalg.norm(exact)
        assert error < 10 * 2**-8, name
        assert error > 1e-5 or name == "dense_3.b", f"{name} is that of float32"


def test_the_gradient_check_checks_its_formulas_in_float64(device):
    network = small(precision="bfloat16", device=device)
    assert nnx.gradcheck.check_network(network, X37, Y37, nnx.MeanSquaredError()).passed


def test_predict_and_evaluate_use_the_precision(device):
    network, single = small(precision="bfloat16", device=device), small(device=device)
    y = network.predict(X37)
    assert y.tobytes() == forward(network, X37).tobytes()
    assert y.tobytes() != single.predict(X37).tobytes()
    found = network.evaluate(X37, Y37, loss=nnx.MeanSquaredError())["loss"]
    assert found == pytest.approx(float(np.mean((y - Y37) ** 2)), rel=1e-6)


def test_a_layer_of_the_network_used_alone_rounds_too(device):
    network = small(precision="bfloat16", device=device)
    alone = network.backend.to_numpy(network[0].forward(X37)).copy()
    assert alone.tobytes() == network[:1].predict(X37).tobytes()


# -------------------------------------------------- no pass uses an old copy of the parameters


def fresh(network):
    """A new network with the same values: what it predicts shows what the present values are."""
    twin = small(precision="bfloat16", device=network.backend)
    twin.set_weights(network.weights())
    return twin


def edits():
    def in_place(network):
        network[0].W[0, 0] += 1.0

    def through_names(network):
        for name, value, _ in network.parameters():
            if name == "dense_2.W":
                value[...] *= 2.0

    def set_weights(network):
        network.set_weights({name: value + 0.5 for name, value in network.weights().items()})

    def by_hand(network):
        optimizer, loss = nnx.SGD(0.5), nnx.MeanSquaredError()
        y = network.forward(network.asarray(X37), training=True)
        network.backward(loss.gradient(network.asarray(Y37), y))
        optimizer.step(network)

    def by_fit(network):
        fit(network)

    def by_slice(network):
        sliced = network[:2]
        sliced.fit(X37, np.ones((37, 5), np.float32), loss="mse", optimizer=nnx.SGD(0.5), batch_size=8)

    def frozen(network):
        network[2].trainable = False
        fit(network)
        network[2].W[...] += 1.0
        fit(network)

    def moved(network):
        network.to("numpy")
        network[0].W[...] += 1.0

    def initialized(network):
        network[0].initialize(np.random.default_rng(4))

    def the_buffer(network):
        network.arena.values[...] *= 1.5

    return [
        in_place,
        through_names,
        set_weights,
        by_hand,
        by_fit,
        by_slice,
        frozen,
        moved,
        initialized,
        the_buffer,
    ]


@pytest.mark.parametrize("change", edits(), ids=lambda change: change.__name__)
def test_after_every_change_the_next_pass_uses_the_new_values(device, change):
    network = small(precision="bfloat16", device=device)
    before = network.predict(X37)
    forward(network, X37, training=True)  # both plans have rounded the old values
    change(network)
    expected = fresh(network)
    assert network.predict(X37).tobytes() == expected.predict(X37).tobytes() != before.tobytes()
    y = forward(network, X37, training=True)
    assert y.tobytes() == forward(expected, X37, training=True).tobytes()
    assert network[1:].predict(y[:, :1] * np.ones((1, 5), "f4")).tobytes() == (
        expected[1:].predict(y[:, :1] * np.ones((1, 5), "f4")).tobytes()
    )
    backward(network, np.ones_like(y)), backward(expected, np.ones_like(y))
    for (name, _, one), (_, _, other) in zip(network.parameters(), expected.parameters(), strict=True):
        np.testing.assert_array_equal(host(one), host(other), err_msg=name)


def test_a_callback_that_changes_parameters_between_two_steps_is_seen(device):
    class Halve(nnx.Callback):
        def on_step_end(self, run):
            run.network[0].W[...] *= 0.5

    by_fit, by_hand = (small(precision="bfloat16", device=device) for _ in range(2))
    fit(by_fit, batch_size=37, shuffle=False, callbacks=[Halve()], optimizer=nnx.SGD(0.1))
    loss, optimizer = nnx.MeanSquaredError(), nnx.SGD(0.1)
    for _ in range(4):
        y = by_hand.forward(by_hand.asarray(X37), training=True)
        by_hand.backward(loss.gradient(by_hand.asarray(Y37), y))
        optimizer.step(by_hand)
        by_hand[0].W[...] *= 0.5
    for name, value in by_fit.weights().items():  # fit and the loop divide the loss's gradient differently
        np.testing.assert_allclose(value, by_hand.weights()[name], rtol=1e-4, atol=1e-6)


# --------------------------------------------------------------------- copies, files, other runs


def test_copies_pickles_and_files_keep_the_precision(device, tmp_path):
    network = small(precision="bfloat16", device=device)
    fit(network)
    network.save(tmp_path / "model.safetensors")
    network[:2].save(tmp_path / "slice.safetensors")
    twins = [
        network.copy(),
        nnx.load(tmp_path / "model.safetensors", device),
        pickle.loads(pickle.dumps(network)),
    ]
    for twin in twins:
        assert twin.precision == "bfloat16"
        assert twin.predict(X37).tobytes() == network.predict(X37).tobytes()
    part = nnx.load(tmp_path / "slice.safetensors", device)
    assert part.precision == network[:2].precision == "bfloat16"
    assert part.predict(X37).tobytes() == network[:2].predict(X37).tobytes()


def test_a_file_can_be_loaded_with_another_precision(tmp_path):
    network = small(**PLAIN)
    network.save(tmp_path / "model.safetensors")
    single = nnx.load(tmp_path / "model.safetensors", "numpy", precision="float32")
    same_bytes(single.weights(), network.weights())
    assert single.predict(X37).tobytes() == small(device="numpy").predict(X37).tobytes()
    with pytest.raises(nnx.ConfigurationError, match="precision must be one of"):
        nnx.load(tmp_path / "model.safetensors", "numpy", precision="float16")


def test_training_gives_the_same_bytes_each_time(device):
    runs = [every_layer(precision="bfloat16", device=device) for _ in range(2)]
    for network in runs:
        fit(network, y=np.zeros(37, int), loss=nnx.CategoricalCrossEntropy())
    same_bytes(*(network.weights() for network in runs))


def resumable(device, precision="bfloat16"):
    layers = [nnx.Dense(6, 16), nnx.BatchNorm(), nnx.ReLU(), nnx.Dropout(0.2), nnx.Dense(8), nnx.Tanh(),
              nnx.Dense(3)]  # fmt: skip
    return nnx.Network(layers, device=device, seed=3, precision=precision)


@pytest.mark.parametrize("killed", [3, 8, 21])
def test_a_resumed_run_is_bit_identical(device, killed, tmp_path):
    whole = train_resumed(resumable(device))
    checkpoint = nnx.Checkpoint(tmp_path, every=1)
    with pytest.raises(Killed):
        train_resumed(resumable(device), [KillAt(killed)], checkpoint=checkpoint)
    again = nnx.Checkpoint(tmp_path, every=1, resume=True)
    same_run(train_resumed(resumable(device), checkpoint=again), whole)


def test_a_run_does_not_resume_with_another_precision(tmp_path):
    train_resumed(resumable("numpy"), checkpoint=nnx.Checkpoint(tmp_path))
    text = 'precision "bfloat16", not "float32"'
    with pytest.raises(nnx.ConfigurationError, match=text):
        train_resumed(resumable("numpy", "float32"), checkpoint=nnx.Checkpoint(tmp_path, resume=True))


def test_the_estimate_of_memory_counts_the_rounded_factors():
    plans = [small(precision=p, device="numpy").plan("training") for p in ("float32", "bfloat16")]
    widths = [(3, 5), (5, 4), (4, 2)]
    factors = sum(7 * (inputs + units) + inputs * units for inputs, units in widths)
    assert plans[1].nbytes(7) - plans[0].nbytes(7) == 4 * factors
