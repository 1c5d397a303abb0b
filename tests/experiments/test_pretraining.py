"""The exchange of codes between pairs of images, and what training with it changes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from support.small_networks import host

import nnx
from nnx import gradcheck
from nnx.experiments.distortion import Affine
from nnx.experiments.pretraining import SwapHalves, fit_with_pairs
from nnx.layers.descriptions import entry_of, from_entry

pytestmark = pytest.mark.usefixtures("device")


def test_the_exchange_is_its_own_inverse_and_rests_in_inference(rng):
    layer = SwapHalves(3).build(5, dtype="float64")
    x = rng.standard_normal((5, 5))
    np.testing.assert_array_equal(host(layer.forward(x)), x)
    once = host(layer.forward(x, training=True)).copy()
    np.testing.assert_array_equal(once[:2, :3], x[2:4, :3])
    np.testing.assert_array_equal(once[2:4, :3], x[:2, :3])
    np.testing.assert_array_equal(once[:, 3:], x[:, 3:])
    np.testing.assert_array_equal(once[4], x[4])  # the odd row out
    np.testing.assert_array_equal(host(layer.forward(once, training=True)), x)
    gradcheck.check(SwapHalves(3), inputs=5, rows=5).raise_if_failed()


def test_a_share_of_the_rows_is_in_pairs(rng):
    layer = SwapHalves(3, share=0.5).build(5, dtype="float64")
    x = rng.standard_normal((9, 5))  # 4.5 rows: two pairs
    y = host(layer.forward(x, training=True)).copy()
    np.testing.assert_array_equal(y[:4, :3], x[[2, 3, 0, 1], :3])
    np.testing.assert_array_equal(y[:4, 3:], x[:4, 3:])
    np.testing.assert_array_equal(y[4:], x[4:])
    gradcheck.check(SwapHalves(3, share=0.5), inputs=5, rows=9).raise_if_failed()


def test_the_exchange_of_all_rows_is_described_as_in_older_checkpoints():
    """A run that was stopped is compared with its checkpoint by this."""
    assert entry_of(SwapHalves(7)) == {"kind": "SwapHalves", "config": {"shared": 7}, "trainable": True}
    some = SwapHalves(7, share=0.25)
    assert from_entry(entry_of(some)).config() == some.config() == {"shared": 7, "share": 0.25}


def test_too_few_rows_for_a_pair_are_left_as_they_are(rng):
    layer = SwapHalves(3, share=0.25).build(5, dtype="float64")
    x = rng.standard_normal((7, 5))
    np.testing.assert_array_equal(host(layer.forward(x, training=True)), x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shared": 0}, "shared must be positive"),
        ({"shared": 1, "share": 0.0}, "share must be above 0 and at most 1"),
        ({"shared": 1, "share": 1.5}, "share must be above 0 and at most 1"),
    ],
)
def test_what_cannot_be_exchanged_is_refused(arguments, message):
    with pytest.raises(nnx.ConfigurationError, match=message):
        SwapHalves(**arguments)


def small_autoencoder():
    layers = [
        nnx.Dense(64, 32),
        nnx.ReLU(),
        nnx.Dense(16),
        nnx.Dense(32),
        nnx.ReLU(),
        nnx.Dense(64),
        nnx.Sigmoid(),
    ]
    network = nnx.Network(layers, seed=0, device="cpu")
    network.encoder_length = 3
    return network


def test_training_with_pairs_changes_the_weights_and_not_the_layers():
    data = nnx.datasets.load_digits()
    network = small_autoencoder()
    before, layers = network.weights(), network.layers
    history = fit_with_pairs(
        network, data.x_train, (8, 8), Affine(10, 0.1, 0.1, 0.5), share=1.0,
        epochs=3, batch_size=64, loss=nnx.BinaryCrossEntropy(), optimizer=nnx.Adam(1e-3),
    )  # fmt: skip
    assert network.layers is layers
    assert history["loss"][-1] < history["loss"][0]
    assert all(not np.array_equal(before[name], value) for name, value in network.weights().items())


def test_a_checkpoint_of_training_with_pairs_is_loaded_in_another_process(tmp_path):
    """As docs/command-line.md says. In inference, its network gives what the autoencoder gives."""
    data = nnx.datasets.load_digits()
    network, x = small_autoencoder(), data.x_train[:64]
    fit_with_pairs(
        network, x, (8, 8), Affine(10, 0.1, 0.1, 0.5), share=0.5, epochs=1, batch_size=32,
        loss=nnx.BinaryCrossEntropy(), optimizer=nnx.Adam(1e-3), checkpoint=nnx.Checkpoint(tmp_path, every=2),
    )  # fmt: skip
    np.save(tmp_path / "x.npy", x)
    code = (
        "import numpy as np, nnx\nfrom nnx.experiments import autoencoder\n"
        "np.save('p.npy', nnx.load('fit-1-step-2.safetensors').predict(np.load('x.npy')))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60)
    np.testing.assert_allclose(np.load(tmp_path / "p.npy"), network.predict(x), rtol=1e-5)


def test_images_in_no_pair_are_changed_as_the_caller_says():
    """With no pair in a batch, training is that of the network itself, bit for bit."""
    data = nnx.datasets.load_digits()
    x = data.x_train[:256]

    def darker(generator, x, y):
        darkened = x * np.float32(generator.uniform(0.5, 1.0))
        return darkened, darkened

    def trained(fit):
        network = small_autoencoder()
        fit(network, epochs=2, batch_size=64, loss=nnx.BinaryCrossEntropy(), optimizer=nnx.Adam(1e-3))
        return network.weights()

    def plainly(network, **options):
        network.fit(x, x, augment=darker, **options)

    def with_pairs(share):
        distortion = Affine(10, 0.1, 0.1, 0.5)
        return lambda network, **options: fit_with_pairs(
            network, x, (8, 8), distortion, share, darker, **options
        )

    plain, no_pair, one_pair = (trained(fit) for fit in (plainly, with_pairs(0.03), with_pairs(0.04)))
    for name, value in plain.items():
        np.testing.assert_array_equal(no_pair[name], value)
        assert not np.array_equal(one_pair[name], value)
