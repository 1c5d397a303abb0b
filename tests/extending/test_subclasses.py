"""A user's subclasses of nnx's classes: their own methods run, whatever their names."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
from support.small_networks import forward, host, same_bytes

import nnx
from nnx.layers import Layer

pytestmark = pytest.mark.usefixtures("device")

RNG = np.random.default_rng(5)
X = RNG.normal(size=(12, 3))
Y = RNG.uniform(0.1, 0.9, (12, 2))
MASK = np.array([[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 1.0]])


class MaskedDense(nnx.Dense):
    """y = x (W ∘ mask) + b, with passes of its own: it knows nothing of activations fused into it."""

    def forward_into(self, x, y, cache):
        y[...] = x @ (self.W * cache.backend.asarray(MASK)) + self.b

    def backward_into(self, dy, dx, cache):
        mask = cache.backend.asarray(MASK)
        self.dW[...] = (cache.x.T @ dy) * mask
        self.db[...] = dy.sum(axis=0)
        if dx is not None:
            dx[...] = dy @ (self.W * mask).T


class HalfDense(nnx.Dense):
    """Only its forward pass is its own."""

    def forward_into(self, x, y, cache):
        y[...] = 0.5 * (x @ self.W + self.b)


class MyReLU(nnx.ReLU):
    """The built-in by another name."""


class Doubled(nnx.Tanh):
    """y = 2 tanh x: an activation that is no longer the backend's formula of its kind."""

    def forward_into(self, x, y, cache):
        super().forward_into(x, y, cache)
        y *= 2.0

    def backward_into(self, dy, dx, cache):
        if dx is not None:
            dx[...] = 2.0 * dy * (1.0 - (cache.y / 2.0) ** 2)


class Root(Layer):
    """y = sign(x) √|x|."""

    def forward_into(self, x, y, cache):
        xp = cache.backend.xp
        y[...] = xp.sign(x) * xp.sqrt(xp.abs(x))

    def backward_into(self, dy, dx, cache):
        if dx is not None:
            dx[...] = dy / (2.0 * cache.backend.xp.abs(cache.y))


def namesakes():
    """Layers called as nnx's own are, defined wherever a user may define them; each doubles its input."""

    def forward_into(self, x, y, cache):
        y[...] = 2.0 * x

    def backward_into(self, dy, dx, cache):
        if dx is not None:
            dx[...] = 2.0 * dy

    body = {"forward_into": forward_into, "backward_into": backward_into, "__module__": __name__}
    return {name: type(name, (nnx.Layer,), body) for name in ("Sigmoid", "Dropout", "Dense", "Softmax")}


NAMESAKES = namesakes()


def network_of(*layers, **options):
    return nnx.Network(list(layers), **{"seed": 0, "dtype": "float64", **options})


def affine(layer, x):
    return x @ host(layer.W) + host(layer.b)


def twins(network, tmp_path):
    """The network by every way it can be had again."""
    network.save(tmp_path / "model.safetensors")
    return {
        "copy": network.copy(),
        "deepcopy": copy.deepcopy(network),
        "pickle": pickle.loads(pickle.dumps(network)),
        "load": nnx.load(tmp_path / "model.safetensors"),
    }


def check_twins(network, tmp_path):
    expected = network.predict(X)
    for way, twin in twins(network, tmp_path).items():
        assert [type(layer) for layer in twin.layers] == [type(layer) for layer in network.layers], way
        assert twin.predict(X).tobytes() == expected.tobytes(), way
        same_bytes(twin.weights(), network.weights())


# ------------------------------------------------------------------- layers


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("activation", [nnx.ReLU, nnx.Sigmoid, nnx.Tanh, nnx.GELU])
def test_no_activation_is_dropped_after_a_dense_with_its_own_passes(activation, fuse):
    network = network_of(MaskedDense(3, 4), activation(), nnx.Dense(2), fuse=fuse)
    z = X @ (host(network[0].W) * MASK) + host(network[0].b)
    hidden = network_of(activation()).predict(z)
    assert np.abs(hidden - z).max() > 0.1
    expected = hidden @ host(network[2].W) + host(network[2].b)
    np.testing.assert_allclose(network.predict(X), expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(forward(network, X, training=True), expected, rtol=1e-12, atol=1e-14)
    report = nnx.gradcheck.check(
        network_of(MaskedDense(3, 4), activation(), nnx.Dense(2), fuse=fuse), X, Y, nnx.MeanSquaredError()
    )
    assert report.passed, report.message


def test_a_subclass_with_one_own_pass_is_not_fused():
    network = network_of(HalfDense(3, 4), nnx.ReLU())
    z = 0.5 * affine(network[0], X)
    np.testing.assert_allclose(network.predict(X), np.maximum(z, 0.0), rtol=1e-12)


def test_the_shorthand_of_a_derived_dense_is_the_two_layers():
    network = network_of(MaskedDense(3, 4, activation="relu"))
    assert [type(layer) for layer in network.layers] == [MaskedDense, nnx.ReLU]
    assert network.predict(X).min() == 0.0


@pytest.mark.parametrize("make", [MyReLU, Doubled, Root], ids=lambda make: make.__name__)
def test_a_derived_activation_runs_after_a_dense(make, tmp_path):
    network = network_of(nnx.Dense(3, 4), make(), nnx.Dense(2))
    z = affine(network[0], X)
    h = {
        "MyReLU": np.maximum(z, 0.0), "Doubled": 2.0 * np.tanh(z), "Root": np.sign(z) * np.sqrt(np.abs(z)),
    }[make.__name__]  # fmt: skip
    np.testing.assert_allclose(network.predict(X), affine(network[2], h), rtol=1e-12, atol=1e-14)
    report = nnx.gradcheck.check(
        network_of(nnx.Dense(3, 4), make(), nnx.Dense(2)), X, Y, nnx.MeanSquaredError()
    )
    assert report.passed, report.message
    history = network.fit(
        X, Y, loss=nnx.MeanSquaredError(), optimizer=nnx.Adam(0.01), epochs=30, batch_size=12
    )
    assert history["loss"][-1] < history["loss"][0]
    check_twins(network, tmp_path)


def test_a_built_in_by_another_name_is_the_built_in():
    ours, theirs = (network_of(nnx.Dense(3, 4), kind(), nnx.Dense(2)) for kind in (nnx.ReLU, MyReLU))
    for network in (ours, theirs):
        network.fit(X, Y, loss=nnx.MeanSquaredError(), optimizer=nnx.Adam(0.01), epochs=5, batch_size=12)
    assert ours.predict(X).tobytes() == theirs.predict(X).tobytes()


# ---------------------------------------------------------------- namesakes


def test_nnx_keeps_its_names():
    for name, foreign in NAMESAKES.items():
        own = getattr(nnx, name)
        assert Layer.registry[name] is own
        assert Layer.registry[f"{__name__}.{foreign.__qualname__}"] is foreign


def test_networks_of_nnx_are_not_disturbed_by_namesakes(tmp_path):
    network = network_of(
        nnx.Dense(3, 4), nnx.Dropout(0.5), nnx.Sigmoid(), nnx.Dense(4, activation="sigmoid"), nnx.Softmax()
    )
    check_twins(network, tmp_path)
    assert type(network[4]) is nnx.Sigmoid


def test_a_namesake_is_itself_again_from_copies_and_files(tmp_path):
    network = network_of(nnx.Dense(3, 4), NAMESAKES["Sigmoid"](), NAMESAKES["Dropout"](), nnx.Dropout(0.5))
    np.testing.assert_allclose(network.predict(X), 4.0 * affine(network[0], X), rtol=1e-12)
    check_twins(network, tmp_path)


@pytest.mark.parametrize(
    ("name", "loss"), [("Sigmoid", nnx.BinaryCrossEntropy), ("Softmax", nnx.CategoricalCrossEntropy)]
)
def test_a_namesake_in_front_of_a_loss_keeps_its_passes(name, loss):
    """By its name it would be fused with the loss; what it computes is something else."""

    def make(fuse):
        network = network_of(nnx.Dense(3, 2), NAMESAKES[name](), fuse=fuse)
        network[0].W[...] *= 0.01
        network[0].b[...] = 0.25  # twice that is a probability
        return network

    network, plain = make(True), make(False)
    expected = network.evaluate(X, Y, loss=loss())["loss"]
    options = {"loss": loss(), "epochs": 3, "batch_size": 12}
    history = network.fit(X, Y, optimizer=nnx.SGD(0.01), **options)
    assert history["loss"][0] == pytest.approx(expected, rel=1e-9)
    assert plain.fit(X, Y, optimizer=nnx.SGD(0.01), **options)["loss"] == history["loss"]
    same_bytes(plain.weights(), network.weights())


class Steep(nnx.Sigmoid):
    """σ(2x): a sigmoid by descent only."""

    def forward_into(self, x, y, cache):
        y[...] = 1.0 / (1.0 + cache.backend.xp.exp(-2.0 * x))

    def backward_into(self, dy, dx, cache):
        if dx is not None:
            dx[...] = 2.0 * dy * cache.y * (1.0 - cache.y)


def test_a_derived_sigmoid_keeps_its_passes_in_front_of_the_loss():
    network = network_of(nnx.Dense(3, 2), Steep())
    z = affine(network[0], X)
    p = 1.0 / (1.0 + np.exp(-2.0 * z))
    expected = float(np.mean(-Y * np.log(p) - (1.0 - Y) * np.log(1.0 - p)))
    gradient = X.T @ (2.0 * (p - Y)) / Y.size
    before = host(network[0].W).copy()
    history = network.fit(
        X, Y, loss=nnx.BinaryCrossEntropy(), optimizer=nnx.SGD(0.1), batch_size=12, shuffle=False
    )
    assert history["loss"][0] == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(host(network[0].W), before - 0.1 * gradient, rtol=1e-9)


# ------------------------------------------------------------------- losses


class Quartic(nnx.BinaryCrossEntropy):
    """ℓ = (p − y)⁴: a cross-entropy by descent only."""

    def formula(self, backend, y, p):
        e = p - y
        return (e**4).sum(axis=1), 4.0 * e**3


class Renamed(nnx.BinaryCrossEntropy):
    """The built-in by another name."""


@pytest.mark.parametrize("final", [nnx.Sigmoid, nnx.Identity])
def test_a_derived_loss_uses_its_own_formula(final):
    loss, network = Quartic(), network_of(nnx.Dense(3, 2), final())
    p = network.predict(X)
    expected = float(np.mean((p - Y) ** 4))
    y, on_device = network.asarray(Y), network.asarray(p)
    assert float(loss(y, on_device)) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(host(loss.gradient(y, on_device)), 4.0 * (p - Y) ** 3 / Y.size, rtol=1e-9)
    assert network.evaluate(X, Y, loss=loss)["loss"] == pytest.approx(expected, rel=1e-12)
    slope = p * (1.0 - p) if final is nnx.Sigmoid else 1.0
    gradient = X.T @ (4.0 * (p - Y) ** 3 / Y.size * slope)
    before = host(network[0].W).copy()
    history = network.fit(X, Y, loss=loss, optimizer=nnx.SGD(0.1), batch_size=12, shuffle=False)
    assert history["loss"][0] == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(host(network[0].W), before - 0.1 * gradient, rtol=1e-9)


def test_a_loss_by_another_name_is_fused_as_the_built_in():
    ours, theirs = (network_of(nnx.Dense(3, 2), nnx.Sigmoid()) for _ in "ab")
    for network, loss in ((ours, nnx.BinaryCrossEntropy()), (theirs, Renamed())):
        network[0].W[...] = 1e3  # p rounds to 0 or 1: the plain formula would clip
        network.fit(X, Y, loss=loss, optimizer=nnx.SGD(0.1), batch_size=12)
    same_bytes(ours.weights(), theirs.weights())


# ------------------------------------------------- constructors and config()


class Scale(nnx.Layer):
    """y = factor x, without a `config`."""

    def __init__(self, factor=2.0):
        super().__init__()
        self.factor = factor

    def forward_into(self, x, y, cache):
        y[...] = self.factor * x

    def backward_into(self, dy, dx, cache):
        if dx is not None:
            dx[...] = self.factor * dy


class Told(Scale):
    """The same, with one."""

    def config(self):
        return {"factor": self.factor}


class Wider(nnx.Dense):
    """A Dense with one argument more, which the `config` that it inherits does not know."""

    def __init__(self, inputs, units=None, *, bonus=0.0, **options):
        super().__init__(inputs, units, **options)
        self.bonus = bonus


class WiderTold(Wider):
    """The same, with it."""

    def config(self):
        return super().config() | {"bonus": self.bonus}


class Hidden(nnx.Layer):
    """Its arguments have no names."""

    def __init__(self, *factors):
        super().__init__()


class Renaming(nnx.Dense):
    """Its `config` returns what its constructor does not take."""

    def __init__(self, size):
        super().__init__(size)
        self.size = size

    def config(self):
        return {"size": self.size} | super().config()


WAYS = {
    "copy": lambda network, path: network.copy(),
    "deepcopy": lambda network, path: copy.deepcopy(network),
    "pickle": lambda network, path: pickle.dumps(network),
    "save": lambda network, path: network.save(path / "model.safetensors"),
    "save a slice": lambda network, path: network[1:].save(path / "model.safetensors"),
    "checkpoint": lambda network, path: network.fit(
        X, Y, loss=nnx.MeanSquaredError(), optimizer=nnx.SGD(0.1), batch_size=12,
        checkpoint=nnx.Checkpoint(path / "run"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_layer_without_a_config_is_neither_copied_nor_stored(way, tmp_path):
    network = network_of(nnx.Dense(3, 2), Scale(5.0))
    before = host(network[0].W).copy()
    with pytest.raises(nnx.errors.ConfigurationError) as caught:
        WAYS[way](network, tmp_path)
    text = str(caught.value)
    assert text.startswith("Scale: config() ")
    assert text.endswith("def config(self): return {'factor': self.factor}")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    np.testing.assert_array_equal(host(network[0].W), before)  # no step was taken
    network.fit(X, Y, loss=nnx.MeanSquaredError(), optimizer=nnx.SGD(0.1), batch_size=12)  # nothing is stored


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: Wider(3, 2, bonus=1.0), "argument 'bonus'"),
        (lambda: Hidden(1.0, 2.0), "argument 'factors'"),
        (lambda: Renaming(2), "'inputs'"),
    ],
)
def test_an_incomplete_config_is_refused(layer, message):
    with pytest.raises(nnx.errors.ConfigurationError, match=message):
        network_of(nnx.Dense(3, 3), layer()).copy()


def test_a_complete_config_brings_everything_back(tmp_path):
    network = network_of(Told(5.0), WiderTold(3, 2, bonus=1.5, initializer="he_normal"))
    check_twins(network, tmp_path)
    assert network.copy()[1].bonus == 1.5
    assert network.copy()[0].factor == 5.0


class Weighted(nnx.Loss):
    """factor (p − y)², without a `config`: one run is like another whatever the factor."""

    def __init__(self, factor=1.0):
        self.factor = factor

    def formula(self, backend, y, p):
        e = p - y
        return self.factor * backend.xp.sum(e * e, axis=1), 2.0 * self.factor * e


def test_a_loss_without_a_config_is_refused_where_it_is_part_of_a_runs_identity(tmp_path):
    network = network_of(nnx.Dense(3, 2))
    options = {"loss": Weighted(3.0), "optimizer": nnx.SGD(0.1), "batch_size": 12}
    network.fit(X, Y, **options)
    with pytest.raises(nnx.errors.ConfigurationError, match=r"Weighted: config\(\) must return .*'factor'"):
        network.fit(X, Y, **options, checkpoint=nnx.Checkpoint(tmp_path))


# ------------------------------------------------------------ layers in layers


class Residual(nnx.Layer):
    """x + inner(x), with a layer where no network can see it."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner


class Lazy(nnx.Layer):
    """The same, made when the width is known."""

    def width(self, inputs):
        self.parts = {"first": [nnx.Dense(inputs, inputs)]}
        return inputs


class Shared(nnx.Layer):
    """The same, in the class."""

    inner = nnx.Dense(3, 3)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Residual(nnx.Dense(3, 3)), "inner"),
        (lambda: Residual([nnx.ReLU(), nnx.Dense(3, 3)]), "inner"),
        (lambda: Residual({"a": (nnx.Dense(3, 3),)}), "inner"),
        (lambda: Residual(network_of(nnx.Dense(3, 3))), "inner"),
        (Lazy, "parts"),
        (Shared, "inner"),
    ],
)
def test_a_layer_that_holds_layers_is_refused(make, name):
    message = f"holds another layer in '{name}', whose parameters would be neither counted, trained nor saved"
    with pytest.raises(nnx.errors.ConfigurationError, match=message):
        network_of(nnx.Dense(3, 3), make())
    with pytest.raises(nnx.errors.ConfigurationError, match=message):
        make().build(3)
    with pytest.raises(nnx.errors.ConfigurationError, match=message):
        nnx.gradcheck.check(make(), 3)


def test_a_callback_of_version_0_1_is_asked_by_its_old_name():
    """`told_every` was the name of `every_n_epochs`."""

    class Old(nnx.callbacks.Callback):
        told_every = 100

        def on_epoch_end(self, run):
            epochs.append(run.epoch)

    epochs = []
    network = nnx.Network([nnx.Dense(2, 1)], seed=0)
    with pytest.warns(DeprecationWarning, match="Old: told_every is now called every_n_epochs") as seen:
        network.fit(
            np.eye(2),
            np.ones((2, 1)),
            loss="mse",
            optimizer="sgd",
            epochs=250,
            batch_size=2,
            callbacks=[Old()],
        )
    assert [Path(warning.filename).name for warning in seen] == [Path(__file__).name]
    assert set(epochs) >= {100, 200, 250}
