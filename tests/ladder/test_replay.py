"""A replayed step gives the bits of a launched one, on the stand-in."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import nnx
from nnx import datasets
from nnx.backends.base import CaptureError
from nnx.experiments import autoencoder, xor

pytestmark = pytest.mark.standin
cupy = pytest.importorskip("cupy", reason="needs CuPy's wheel: nox -s ladder")

ROWS, BATCH = 90, 20  # four whole batches, and one of ten rows
EPOCHS = 8  # 40 steps
RNG = np.random.default_rng(5)
X = RNG.uniform(size=(ROWS, 6)).astype(np.float32)
LABELS = RNG.integers(0, 3, ROWS)
WEIGHTS = RNG.uniform(0.1, 2.0, ROWS).astype(np.float32)


def layers(outputs=6):
    """Of every kind that can be recorded."""
    return [
        nnx.Dense(6, 8), nnx.BatchNorm(), nnx.ReLU(), nnx.Dropout(0.2), nnx.Dense(7), nnx.LayerNorm(),
        nnx.GELU(), nnx.Residual([nnx.Dense(5), nnx.Tanh(), nnx.Dropout(0.1), nnx.Dense(7)]),
        nnx.Concatenate([[nnx.Dense(3), nnx.LeakyReLU()], [nnx.Dense(4), nnx.SiLU()]]), nnx.Dense(outputs),
    ]  # fmt: skip


def trained(graph, made=layers, x=X, y=X, optimizer=None, precision="float32", **options):
    """The network after training, its history, and the optimizer's moments."""
    network = nnx.Network(made(), device="gpu", seed=0, precision=precision)
    optimizer = (optimizer or (lambda: nnx.Adam(1e-3)))()
    defaults = {"loss": "mse", "batch_size": BATCH, "epochs": EPOCHS}
    history = network.fit(x, y, optimizer=optimizer, graph=graph, **(defaults | options))
    kept = network.arena.states[optimizer]
    return network, history, [slot.get() for slot in kept.slots.values()]


def same(one, other):
    """Parameters, statistics, moments and losses have the same bits."""
    weights, more = one[0].weights(), other[0].weights()
    for name, value in weights.items():
        assert value.tobytes() == more[name].tobytes(), name
    for slot, expected in zip(one[2], other[2], strict=True):
        assert slot.tobytes() == expected.tobytes()
    for name in one[1].metrics:
        np.testing.assert_array_equal(one[1][name], other[1][name])


def compared(**options):
    """Train with graphs and without; return the history with graphs."""
    replayed, launched = trained("auto", **options), trained(False, **options)
    same(replayed, launched)
    assert launched[1].replayed == 0
    return replayed[1]


DECAY = nnx.schedules.Exponential(1e-2, 10, 0.9)
GROUPS = {"*.b": {"weight_decay": 0.0, "learning_rate": 1e-2}}
CASES = {
    "200 steps with everything": {
        "optimizer": lambda: nnx.Adam(DECAY, clip_norm=0.05, weight_decay=0.01),
        "sample_weight": WEIGHTS, "on_nonfinite": "skip", "epochs": 40,
    },
    "values clipped, l2, momentum": {
        "optimizer": lambda: nnx.SGD(0.05, momentum=0.9, nesterov=True, clip_value=0.01, l2=1e-3)
    },
    "rmsprop": {"optimizer": lambda: nnx.RMSprop(1e-3, momentum=0.5)},
    "adagrad": {"optimizer": lambda: nnx.Adagrad(1e-2)},
    "groups": {"optimizer": lambda: nnx.AdamW(1e-3, groups=GROUPS)},
    "weights": {"sample_weight": WEIGHTS},
    "labels and weights": {
        "made": lambda: [*layers(3), nnx.Softmax()], "y": LABELS, "loss": "cross_entropy",
        "sample_weight": WEIGHTS,
    },
    "convolutions": {
        "made": lambda: [
            nnx.Reshape((2, 3, 1)), nnx.Conv2D(4, 2, padding="same", activation="relu"), nnx.BatchNorm(),
            nnx.Conv2D(4, 2, padding="same", groups=2), nnx.Conv2D(4, 2, groups=4, activation="tanh"),
            nnx.Conv2DTranspose(3, 2), nnx.Conv2D(2, 1, use_bias=False), nnx.Flatten(), nnx.Dense(6),
        ]
    },
    "pooling": {
        "made": lambda: [
            nnx.Rescale(0.5, 0.1), nnx.Reshape((2, 3, 1)), nnx.UpSample2D(2),
            nnx.Conv2D(4, 2, activation="relu"), nnx.MaxPool2D(2, strides=1),
            nnx.SpatialDropout2D(0.2), nnx.AveragePool2D((1, 2), strides=1),
            nnx.Concatenate([[nnx.GlobalAveragePool2D()], [nnx.GlobalMaxPool2D()]]), nnx.Dense(6),
        ]
    },
    "pooling and upsampling of sequences": {
        "made": lambda: [
            nnx.Reshape((6, 1)), nnx.UpSample1D(2), nnx.Conv1D(4, 3, activation="tanh"), nnx.MaxPool1D(2),
            nnx.SpatialDropout1D(0.1), nnx.AveragePool1D(2, strides=1), nnx.GlobalAveragePool1D(),
            nnx.Dense(6),
        ]
    },
    "slopes": {"made": lambda: [nnx.Dense(5), nnx.PReLU(), nnx.Dense(6)]},
    "shared slopes": {
        "made": lambda: [
            nnx.Reshape((2, 3)), nnx.PReLU([1]), nnx.PReLU([2]), nnx.PReLU([1, 2]), nnx.Flatten(),
            nnx.PReLU([1]), nnx.Dense(6),
        ]
    },
    "quantiles that do not cross": {
        "made": lambda: [nnx.Dense(5), nnx.ReLU(), nnx.Dense(3), nnx.Ascending()], "y": X[:, :1],
        "loss": nnx.Pinball([0.1, 0.5, 0.9]),
    },
    "a dense layer with the rows that a step used": {
        "made": lambda: [nnx.Dense(6, 5, sparse=True), nnx.ReLU(), nnx.Dense(6)]
    },
    "embedding": {
        "made": lambda: [nnx.Embedding(9, 4), nnx.Flatten(), nnx.Dense(6)],
        "x": RNG.integers(0, 9, (ROWS, 300)),  # more positions than a tile of the sort
    },
    "a sparse code": {
        "made": lambda: [nnx.Dense(5), nnx.ReLU(), nnx.L1Sparsity(0.1), nnx.Dense(6)],
        "sample_weight": WEIGHTS,
    },
    "a sparse code, by divergence": {
        "made": lambda: [nnx.Dense(5), nnx.Sigmoid(), nnx.KLSparsity(0.1), nnx.Dense(6)]
    },
    "a drawn code": {
        "made": lambda: [nnx.Dense(6), nnx.GaussianCode(0.1), nnx.Dense(6)], "sample_weight": WEIGHTS
    },
    "a contractive code": {
        "made": lambda: [nnx.Contractive([nnx.Dense(5), nnx.Sigmoid()], 0.1), nnx.Dense(6)],
        "sample_weight": WEIGHTS,
    },
    "a contractive code of three layers": {
        "made": lambda: [
            nnx.Contractive([nnx.Dense(5), nnx.ELU(), nnx.Dense(4), nnx.Tanh(), nnx.Dense(5)], 0.1),
            nnx.Dense(6),
        ]
    },
    "a table": {
        "made": lambda: [
            nnx.Concatenate([
                [nnx.Columns(0, 4), nnx.PiecewiseLinearEmbedding([[0.0, 0.3, 1.0], [0.1, 0.9]] * 2, 3)],
                [nnx.Columns(3, 4), nnx.PeriodicEmbedding(2, 3), nnx.ReLU()],
                [nnx.Columns(4, 6), nnx.CategoryEmbedding([3, 2], 3)],
            ]),
            nnx.FeatureScale(), nnx.Members(4, "normal"), nnx.Dense(5), nnx.ReLU(), nnx.Dropout(0.1),
            nnx.MemberDense(6),
        ],
        "x": np.hstack([X[:, :4], RNG.integers(0, 3, (ROWS, 2))]).astype(np.float32),
        "y": np.repeat(X[:, None, :], 4, axis=1), "sample_weight": WEIGHTS,
    },
    "embedded numbers that have a gradient": {
        "made": lambda: [
            nnx.Dense(4), nnx.PiecewiseLinearEmbedding([[-1.0, 0.1, 0.5], [-0.5, 0.5]] * 2, 3), nnx.Dense(4),
            nnx.PeriodicEmbedding(3, 2), nnx.Members(2), nnx.MemberDense(4), nnx.Flatten(), nnx.Dense(6),
        ],
    },
    "the rows of an embedding that a step used": {
        "made": lambda: [nnx.Embedding(50, 4, sparse=True), nnx.Flatten(), nnx.Dense(6)],
        "x": RNG.integers(0, 50, (ROWS, 3)), "on_nonfinite": "skip",
        "optimizer": lambda: nnx.Adam(DECAY, clip_norm=0.05),
    },
    "the rows that two embeddings used": {
        "made": lambda: [
            nnx.Concatenate([
                [nnx.Embedding(90, 4, sparse=True), nnx.Flatten()], [nnx.Embedding(90, 2), nnx.Flatten()],
                [nnx.Embedding(90, 3, sparse=True), nnx.Flatten()],
            ]),
            nnx.Dense(6),
        ],
        "x": RNG.integers(0, 90, (ROWS, 5)), "optimizer": lambda: nnx.SGD(0.1, momentum=0.9),
    },
    "bfloat16": {"precision": "bfloat16"},
    "bfloat16 convolutions": {
        "made": lambda: [
            nnx.Reshape((2, 3, 1)), nnx.Conv2D(4, 2, activation="relu"), nnx.Conv2DTranspose(3, 2),
            nnx.Flatten(), nnx.Dense(6),
        ],
        "precision": "bfloat16",
    },
    "skipped faults": {"on_nonfinite": "skip"},
    "batches that are changed on the host": {
        "augment": lambda generator, x, y: (x + generator.normal(0.0, 0.1, x.shape).astype(x.dtype), y),
        "sample_weight": WEIGHTS,
    },
    "a fixed order": {"shuffle": False},
    "an average of the parameters": {"average": 0.9},
    "one cycle": {"optimizer": lambda: nnx.Adam(nnx.OneCycle(0.01, 60))},
    "gradients of several batches": {"batch_size": BATCH // 2, "accumulate": 2},
    "gradients of several batches with weights": {
        "batch_size": BATCH // 2, "accumulate": 2, "sample_weight": WEIGHTS
    },
}  # fmt: skip


@pytest.mark.parametrize("options", CASES.values(), ids=list(CASES))
def test_replayed_steps_have_the_bits_of_launched_ones(options):
    history = compared(**options)
    # two steps of each size are launched, and the third is compared
    assert history.steps == 5 * options.get("epochs", EPOCHS)
    assert (history.replayed, history.not_replayed) == (history.steps - 4, "")


def test_a_step_that_is_skipped_is_skipped_by_the_graph(monkeypatch):
    """Inputs so large that the loss overflows, in the middle of an epoch."""
    x = X.copy()
    x[33] = 1e38

    def run(graph):
        network = nnx.Network(
            [nnx.Dense(6, 8), nnx.BatchNorm(), nnx.Tanh(), nnx.Dense(6)], device="gpu", seed=0
        )
        history = network.fit(x, x, loss="mse", optimizer="adam", batch_size=BATCH, epochs=EPOCHS,
                              on_nonfinite="skip", graph=graph)  # fmt: skip
        return network, history, []

    replayed, launched = run("auto"), run(False)
    same(replayed, launched)
    assert replayed[1].left_out == launched[1].left_out == EPOCHS
    assert replayed[1].replayed == 5 * EPOCHS - 4


def test_a_fault_in_a_replayed_step_is_explained():
    """As in a launched one: the same batch, and the parameters from before it."""

    def run(graph):
        class Poison(nnx.Callback):
            def on_epoch_end(self, run):
                if run.epoch == 5:
                    run.network.layers[-1].W[...] = 1e38

        network = nnx.Network([nnx.Dense(6, 8), nnx.Tanh(), nnx.Dense(6)], device="gpu", seed=0)
        with pytest.raises(nnx.TrainingError) as caught:
            network.fit(X, X, loss="mse", optimizer="adam", batch_size=BATCH, epochs=9, callbacks=[Poison()],
                        graph=graph)  # fmt: skip
        return str(caught.value), network.weights()

    (text, weights), (expected, reference) = run("auto"), run(False)
    assert text == expected
    assert text.startswith("epoch 6, batch 1: the loss is inf")
    for name, value in weights.items():
        assert value.tobytes() == reference[name].tobytes()


@pytest.mark.parametrize("preset", xor.PRESETS)
def test_xor(preset):
    results = [xor.run(xor.Config(preset, epochs=200, device="gpu")) for _ in range(2)]
    assert results[0].history["loss"] == results[1].history["loss"]
    assert results[0].history.replayed == 200 - 2


@pytest.mark.parametrize("preset", autoencoder.PRESETS)
def test_autoencoders(preset, monkeypatch):
    digits = datasets.load_digits()

    def run():
        return autoencoder.run(autoencoder.Config(preset, "digits", epochs=2, device="gpu"), data=digits)

    replayed = run()
    assert replayed.history.replayed > 0, replayed.history.not_replayed
    fit = nnx.Network.fit
    monkeypatch.setattr(nnx.Network, "fit", lambda *args, **options: fit(*args, **options, graph=False))
    launched = run()
    assert launched.history.replayed == 0
    assert replayed.history["loss"] == launched.history["loss"]


def test_a_replayed_step_waits_for_what_a_callback_computes_on_another_stream():
    x, stream, answers = cupy.asarray(X), cupy.cuda.Stream(non_blocking=True), []
    cupy.cuda.Device(0).synchronize()  # x is there

    class Watch(nnx.Callback):
        def on_epoch_end(self, run):
            before = run.network.predict(X)
            with stream:
                answers.append((run.network.predict(x), before))

    compared(callbacks=[Watch()])
    with stream:
        for found, expected in answers:
            np.testing.assert_array_equal(found.get(), expected)


# ----------------------------------------------------------------- what must not be replayed


def test_a_number_of_the_host_that_changes_is_caught(monkeypatch):
    """A layer passes its kernel a number that is another in each step: the graph would repeat the first."""
    forward = nnx.Dropout._mask

    def planted(self, source, target, workspace):
        workspace.keys = {}  # then the key is the host's
        forward(self, source, target, workspace)

    monkeypatch.setattr(nnx.Dropout, "_mask", planted)
    monkeypatch.setattr("nnx.ops.dropout.written", _constant)
    replayed, launched = trained("auto"), trained(False)
    same(replayed, launched)
    assert replayed[1].replayed == 0
    assert replayed[1].not_replayed == "a replayed step gives other bits than a launched one"


def _constant(ops, dtype, a, b):
    """As `written`, but into memory that is there: recording does not fail."""
    from nnx.ops.steps import WRITE_NUMBERS, PerStep

    values, counter = ops._buffer("planted", 2, dtype), ops._buffer("planted counter", 2, "int64")
    WRITE_NUMBERS.kernel(a, b, values[0:1], values[1:2], counter)
    return PerStep(values, counter, 0)


class OwnLayer(nnx.Layer):
    def forward_into(self, x, y, workspace):
        y[...] = x * 2.0

    def backward_into(self, dy, dx, workspace):
        if dx is not None:
            dx[...] = dy * 2.0


class OwnLoss(nnx.Loss):
    def formula(self, backend, y, p):
        return backend.xp.sum((p - y) * (p - y), axis=1), 2.0 * (p - y)


SPARSE = {
    "made": lambda: [nnx.Embedding(90, 4, sparse=True), nnx.Flatten(), nnx.Dense(6)],
    "x": RNG.integers(0, 90, (ROWS, 3)),
}


class OwnOptimizer(nnx.SGD):
    def update(self, backend, span, fault, learning_rate, step):
        super().update(backend, span, fault, learning_rate * 0.5, step)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"made": lambda: [nnx.Dense(6, 8), OwnLayer(), nnx.Dense(6)]}, "is your own layer"),
        ({"loss": OwnLoss()}, "OwnLoss is your own loss"),
        ({"optimizer": lambda: OwnOptimizer(0.1)}, "OwnOptimizer is your own optimizer"),
        (SPARSE | {"batch_size": BATCH // 2, "accumulate": 2, "sample_weight": WEIGHTS},
         "a step allocates memory"),
    ],
)  # fmt: skip
def test_what_is_not_nnxs_is_launched_and_the_history_says_why(options, why):
    history = compared(**options, epochs=2)
    assert history.replayed == 0
    assert why in history.not_replayed


def test_what_allocates_is_launched(monkeypatch):
    """On CuPy it could be recorded, but the memory would then belong to somebody else."""
    from nnx.backends.cupy_backend import CupyBackend

    forward = CupyBackend.dropout
    monkeypatch.setattr(CupyBackend, "dropout", lambda self, x, *rest: forward(self, x + 0.0, *rest))
    history = compared(epochs=2)
    assert history.replayed == 0
    assert history.not_replayed.startswith("a step cannot be recorded: ")
    assert "allocate" in history.not_replayed


def test_without_our_cublas_everything_is_launched(monkeypatch):
    from nnx import backends
    from nnx.backends import cublas

    def missing(major):
        raise cublas.CublasError("libcublas.so.13 cannot be used (not there)")

    monkeypatch.setattr(cublas, "load", missing)
    monkeypatch.setattr(backends.resolve("gpu"), "_local", type("Local", (), {})())
    _, history, _ = trained("auto", epochs=2)
    assert history.not_replayed == "a step cannot be recorded: libcublas.so.13 cannot be used (not there)"


# ----------------------------------------------------------------- what invalidates a graph


class Does(nnx.Callback):
    """Do something to a run after some epochs, or after each step."""

    def __init__(self, epochs=None, step=None):
        self.epochs, self.step = epochs or {}, step

    def on_epoch_end(self, run):
        self.epochs.get(run.epoch, lambda run: None)(run)


class DoesEachStep(Does):
    def on_step_end(self, run):
        if run.step == 23:
            self.step(run)


def freeze(run):
    run.network.layers[0].trainable = False


def lower(run):
    run.optimizer.learning_rate = 1e-4


def less(run):
    next(layer for layer in run.network.layers if isinstance(layer, nnx.Dropout)).rate = 0.4


def write(run):
    run.network.layers[0].W[...] *= 0.5


def load(run):
    run.network.set_weights({name: value * 0.5 for name, value in run.network.weights().items()})


def larger(run):
    run.network.forward(run.network.asarray(np.ones((200, 6), np.float32)), training=True)


def other_beta(run):
    run.optimizer.beta1 = 0.5


CHANGES = [freeze, lower, less, write, load, larger, other_beta]


@pytest.mark.parametrize("each_step", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_what_a_callback_changes_counts_from_the_next_step(change, each_step):
    def callbacks():
        return [DoesEachStep(step=change) if each_step else Does(epochs={4: change})]

    one, other = (trained(graph, epochs=12, callbacks=callbacks()) for graph in ("auto", False))
    same(one, other)
    assert one[1].not_replayed == ""
    assert one[1].replayed > 20
    unchanged = trained(False, epochs=12)
    if change is not larger:
        assert any(a.tobytes() != b.tobytes() for a, b in zip(one[2], unchanged[2], strict=True))


@pytest.mark.parametrize("rows", [3, ROWS])
@pytest.mark.parametrize("device", ["gpu", "numpy"])
def test_the_rows_that_a_step_used_are_known_after_steps_that_were_replayed(rows, device):
    """A callback makes a pass of its own, and afterwards a step is taken by hand, on either device."""

    def own_pass(run):
        y = run.network.forward(run.network.asarray(SPARSE["x"][:rows]), training=True)
        run.network.backward(y)

    found = []
    for graph in ("auto", False):
        callback = DoesEachStep(step=own_pass)
        network, history, _ = trained(graph, **SPARSE, epochs=12, callbacks=[callback])
        assert (history.replayed > 30) is (graph == "auto"), history.not_replayed
        network.to(device)
        y = network.forward(network.asarray(np.full((4, 3), 5)), training=True)
        network.backward(y)
        table = network.layers[0]
        found.append(network.backend.to_numpy(table.dW))
        nnx.SGD(0.1).step(network)
        found.append(network.weights()["embedding_1.W"])
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_array_equal(found[1], found[3])
    assert np.flatnonzero(found[0].any(axis=1)).tolist() == [5]


def another_step(run):
    """A step of the same optimizer in a callback: moments are corrected, and masks drawn, for its count."""
    y = run.network.forward(run.network.asarray(X[:5]), training=True)
    run.network.backward(y)
    run.optimizer.step(run.network)


def another_seed(run):
    run.network.arena.seed = 9


@pytest.mark.parametrize("graph", ["auto", False])
@pytest.mark.parametrize("change", [another_step, another_seed])
def test_counts_that_a_callback_changes_are_those_of_the_next_step(change, graph):
    """On a GPU as on a CPU."""
    found = []
    for device in ("numpy", "gpu"):
        network = nnx.Network([nnx.Dense(6, 8), nnx.Tanh(), nnx.Dropout(0.3), nnx.Dense(6)],
                              device=device, seed=0)  # fmt: skip
        network.fit(X, X, optimizer=nnx.Adam(0.05), loss="mse", batch_size=BATCH, epochs=8,
                    callbacks=[DoesEachStep(step=change)], graph=graph)  # fmt: skip
        found.append(network.weights())
    for name, value in found[0].items():
        np.testing.assert_allclose(found[1][name], value, atol=1e-4)


class Watching(nnx.schedules.Schedule):
    """The rate falls in the middle of an epoch, and not because of the number of the step."""

    network = None

    def __call__(self, step):
        return 0.05 if self.network.arena.step < 13 else 1e-4


class WatchingAdam(nnx.Adam):
    def rate(self, step):
        return Watching.__call__(Watching, step)


RATES = [
    lambda: nnx.Adam(Watching()), lambda: nnx.Adam(nnx.schedules.Warmup(Watching(), 3)),
    lambda: WatchingAdam(1.0),
]  # fmt: skip


@pytest.mark.parametrize("made", RATES, ids=["schedule", "warmup", "optimizer"])
def test_a_rate_that_a_user_computes_is_computed_for_each_step(made, monkeypatch):
    found = []
    for device in ("numpy", "gpu"):
        network = nnx.Network([nnx.Dense(6, 8), nnx.Tanh(), nnx.Dense(6)], device=device, seed=0)
        monkeypatch.setattr(Watching, "network", network)
        network.fit(X, X, optimizer=made(), loss="mse", batch_size=BATCH, epochs=4)
        found.append(network.weights())
    for name, value in found[0].items():
        np.testing.assert_allclose(found[1][name], value, atol=1e-4)


@pytest.mark.parametrize("graph", ["auto", False])
@pytest.mark.parametrize("each_step", [False, True])
def test_a_group_follows_a_learning_rate_that_a_callback_sets(each_step, graph):
    """A group without a rate of its own: on a GPU as on a CPU."""
    found = []
    for device in ("numpy", "gpu"):
        network = nnx.Network([nnx.Dense(6, 8), nnx.Tanh(), nnx.Dense(6)], device=device, seed=0)
        callback = DoesEachStep(step=lower) if each_step else Does(epochs={4: lower})
        network.fit(X, X, optimizer=nnx.AdamW(0.05, groups={"*.b": {"weight_decay": 0.0}}), loss="mse",
                    batch_size=BATCH, epochs=12, callbacks=[callback], graph=graph)  # fmt: skip
        found.append(network.weights())
    for name, value in found[0].items():
        np.testing.assert_allclose(found[1][name], value, atol=1e-4)  # the old rate moves them by 0.01 a step


def test_settings_of_numpys_types_count_too():
    """A rate of type float32 that a callback lowers again and again."""

    def lower_again(run):
        dropout = next(layer for layer in run.network.layers if isinstance(layer, nnx.Dropout))
        dropout.rate = np.float32(0.9) / np.float32(run.epoch + 1)

    def callbacks():
        return [Does(epochs=dict.fromkeys((1, 4, 7), lower_again))]

    one, other = (trained(graph, epochs=10, callbacks=callbacks()) for graph in ("auto", False))
    assert one[1].replayed > 20
    same(one, other)


def test_memory_that_a_graph_uses_is_not_given_away():
    """A larger batch makes new arrays; the graph on the old ones is not launched again."""
    network = nnx.Network(layers(), device="gpu", seed=0)
    optimizer = nnx.Adam()
    first = network.fit(X, X, loss="mse", optimizer=optimizer, batch_size=10, epochs=4)
    network.predict(np.ones((1000, 6), np.float32))
    second = network.fit(X, X, loss="mse", optimizer=optimizer, batch_size=30, epochs=4)
    assert first.replayed == 36 - 2
    assert second.replayed == 12 - 2


def test_another_stream_is_the_callers():
    with cupy.cuda.Stream():
        one = trained("auto", epochs=4)
        cupy.cuda.get_current_stream().synchronize()
    same(one, trained(False, epochs=4))


def test_a_graph_option_is_checked():
    with pytest.raises(nnx.ConfigurationError, match="graph must be 'auto' or False, not True"):
        trained(True)


# ----------------------------------------------------------------- the stand-in's own rules


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (lambda x: cupy.empty(3), "memory is allocated"),
        (lambda x: x.get(), "the host reads"),
        (lambda x: x.set(np.ones(3)), "host memory is copied"),
        (lambda x: cupy.cuda.Device().synchronize(), "the host waits"),
        (lambda x: cupy.cuda.get_current_stream().synchronize(), "the host waits"),
        (lambda x: cupy.dot(x, x), "cuBLAS API during stream capture"),
        (lambda x: float(x[0]), "the host reads"),
        (lambda x: cupy.sum(x, axis=0, out=x[:1].reshape(())), "memory is allocated"),  # CUB's workspace
    ],
)
def test_the_stand_in_refuses_while_it_captures(act, told):
    x = cupy.ones(3)
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        with pytest.raises((RuntimeError, NotImplementedError), match=told):
            act(x)
        stream.end_capture()


def test_the_stand_in_replays_with_the_contents_of_then():
    x, y = cupy.ones(3), cupy.zeros(3)
    stream = cupy.cuda.Stream(non_blocking=True)
    factor = 2.0
    with stream:
        stream.begin_capture()
        cupy.multiply(x, factor, out=y)
        graph = stream.end_capture()
    factor = 5.0
    np.testing.assert_array_equal(y.get(), 0.0)
    x[...] = 3.0
    graph.launch()
    np.testing.assert_array_equal(y.get(), 6.0)
    del x
    with pytest.raises(RuntimeError, match="uses memory that was freed"):
        graph.launch()


def test_a_capture_that_fails_leaves_everything_usable():
    backend = nnx.resolve("gpu")
    with pytest.raises(CaptureError, match="allocate"):
        backend.capture(lambda: cupy.ones(3))
    assert float(cupy.ones(3)[0]) == 1.0


def test_a_finished_training_frees_its_memory_at_once():
    pool = cupy.get_default_memory_pool()
    gc.collect()  # what earlier tests left
    gc.disable()
    try:
        used = []
        for _ in range(3):
            assert trained("auto")[1].replayed
            used.append(pool.used_bytes())
    finally:
        gc.enable()
    assert used == used[:1] * 3


def test_lbfgs_on_a_gpu_says_why_it_is_not_replayed():
    made = lambda: [nnx.Dense(6, 8), nnx.Tanh(), nnx.Dense(6)]  # noqa: E731
    _, history, _ = trained("auto", made, optimizer=nnx.LBFGS)
    assert history.not_replayed.startswith("L-BFGS reads the loss on the host")
    assert history.replayed == 0
    assert (np.diff(history["loss"]) <= 0).all()
    on_host = nnx.Network(made(), device="numpy", seed=0)
    expected = on_host.fit(X, X, loss="mse", optimizer=nnx.LBFGS(), epochs=EPOCHS)
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-2)
