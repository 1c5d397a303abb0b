"""Memory of deleted objects is free at once, without Python's cycle collector."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import nnx

X = np.random.default_rng(0).random((32, 8), dtype=np.float32)
Y = (X[:, :3] > 0.5).astype(np.float32)


@pytest.fixture(autouse=True)
def _no_collector():
    """Only reference counts free anything here."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def network(**options):
    layers = [
        nnx.Dense(8, 16), nnx.BatchNorm(), nnx.ReLU(), nnx.Dropout(0.1), nnx.Dense(3, activation="sigmoid"),
    ]  # fmt: skip
    return nnx.Network(layers, seed=0, **options)


def fit(built, **options):
    built.fit(X, Y, loss=nnx.MeanSquaredError(), optimizer=nnx.Adam(), batch_size=10, epochs=2, **options)
    return built


def buffers(built):
    """The flat buffers of a network, its optimizers' and its plans', as weak references."""
    arena = built.arena
    found = [arena.values, arena.exchange, arena.state]
    found += [slot for kept in arena.states.values() for slot in kept.slots.values()]
    found += [view for plan in built._plans.values() for view in plan.buffers._kept.values()]
    return [weakref.ref(array) for array in found]


def held(references):
    return sum(reference() is not None for reference in references)


class Watching(nnx.Callback):
    def on_step_end(self, run):
        self.steps = run.step


@pytest.mark.parametrize("device", ["numpy", "cpu"])
class TestADroppedNetwork:
    def test_frees_its_buffers_after_training(self, device):
        built = fit(network(device=device))
        references = buffers(built)
        assert len(references) > 8
        assert held(references) == len(references)
        del built
        assert held(references) == 0

    def test_frees_them_where_callbacks_and_checkpoints_took_part(self, device, tmp_path):
        how = {
            "callbacks": [nnx.EarlyStopping("val_loss", patience=1), Watching()],
            "checkpoint": nnx.Checkpoint(tmp_path, 2),
        }
        built = fit(network(device=device), validation=0.3, metrics=["mse"], **how)
        del how
        references = buffers(built)
        del built
        assert held(references) == 0

    def test_frees_them_after_a_training_that_failed(self, device):
        built = network(device=device)
        with pytest.raises(nnx.TrainingError):
            built.fit(
                np.full((32, 8), 1e30), Y, loss=nnx.MeanSquaredError(), optimizer=nnx.SGD(1.0), batch_size=10
            )
        references = buffers(built)
        del built
        assert held(references) == 0

    def test_frees_them_after_passes_by_hand(self, device):
        built = network(device=device)
        y = built.forward(X, training=True)
        built.backward(y - Y)
        built.predict(X)
        references = buffers(built)
        del built, y
        assert held(references) == 0

    def test_is_held_by_its_slices_and_freed_with_the_last(self, device):
        built = fit(network(device=device))
        part = built[:2]
        expected = part.predict(X)
        references = buffers(built)
        arena = references[0]
        del built
        assert arena() is not None
        np.testing.assert_array_equal(part.predict(X), expected)
        del part
        assert held(references) == 0

    @pytest.mark.parametrize(
        "twin", [lambda n: n.copy(), copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n))]
    )
    def test_copies_are_freed_by_themselves(self, device, twin):
        built = fit(network(device=device))
        other = fit(twin(built))
        references, its = buffers(built), buffers(other)
        del built
        assert held(references) == 0
        assert held(its) == len(its)
        del other
        assert held(its) == 0


def test_many_networks_one_at_a_time_take_the_room_of_one():
    alive = []
    for seed in range(5):
        built = fit(nnx.Network([nnx.Dense(8, 64), nnx.ReLU(), nnx.Dense(3)], seed=seed))
        alive.append(weakref.ref(built.arena.values))
        assert sum(reference() is not None for reference in alive) <= 2  # the new one, while it is bound
    del built
    assert held(alive) == 0


def test_a_layer_used_alone_is_freed():
    layer = nnx.Dense(8, 4, activation="relu")
    y = layer.forward(X)
    layer.backward(np.ones_like(y))
    references = [weakref.ref(layer.arena.values), weakref.ref(layer.arena.exchange), weakref.ref(y.base)]
    del layer, y
    assert held(references) == 0


def test_a_layer_alone_that_is_given_the_wrong_width_names_itself():
    layer = nnx.Dense(8, 4)
    layer.forward(X)
    with pytest.raises(nnx.DataError, match=r"Dense\(8, 4\).*\(rows, 8\)"):
        layer.forward(X[:, :3])
    with pytest.raises(nnx.DataError, match=r"does not fit the output of Dense\(8, 4\)"):
        layer.backward(X)


def test_an_estimator_and_what_it_was_searched_by_are_freed():
    from sklearn.base import clone

    from nnx.estimators import NetworkClassifier

    estimator = NetworkClassifier((16,), epochs=2, random_state=0).fit(X, Y[:, 0].astype(int))
    twin = clone(estimator).fit(X, Y[:, 0].astype(int))
    references = buffers(estimator.network_) + buffers(twin.network_)
    del estimator, twin
    assert held(references) == 0


def test_loading_and_saving_leave_nothing(tmp_path):
    built = fit(network())
    built.save(tmp_path / "m.safetensors")
    loaded = nnx.load(tmp_path / "m.safetensors")
    references = buffers(built) + buffers(loaded)
    del built, loaded
    assert held(references) == 0


def test_a_layer_that_outlives_its_network_keeps_its_values():
    built = fit(network())
    layer = built[0]
    expected, weights = layer.W.copy(), weakref.ref(built.arena.values)
    workspaces = [weakref.ref(view) for plan in built._plans.values() for view in plan.buffers._kept.values()]
    del built
    assert held(workspaces) == 0
    np.testing.assert_array_equal(layer.W, expected)
    np.testing.assert_allclose(layer.forward(X), X @ layer.W + layer.b, rtol=1e-5, atol=1e-6)
    layer.W[...] = 0.0
    np.testing.assert_array_equal(layer.forward(X), np.tile(layer.b, (32, 1)))
    layer.trainable = False
    with pytest.raises(nnx.ConfigurationError, match="already belongs to a network"):
        nnx.Network([layer])
    del layer
    assert weights() is None
