"""Model files: what was saved is loaded, and damaged files are refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from support.places import OLD

import nnx
from nnx import checkpoints
from nnx.layers import Layer

pytestmark = pytest.mark.usefixtures("device")

RNG = np.random.default_rng(5)
IMAGE, SEQUENCE = partial(nnx.Reshape, (2, 3, 1)), partial(nnx.Reshape, (3, 2))

LAYERS = {
    "Dense": lambda: [nnx.Dense(6, 4, initializer="he_normal")],
    "Conv1D": lambda: [
        nnx.Reshape((3, 2)),
        nnx.Conv1D(4, 2, groups=2, use_bias=False, initializer="he_normal"),
        nnx.Flatten(),
    ],
    "Conv2D": lambda: [
        nnx.Reshape((3, 2, 1)),
        nnx.Conv2D(4, (2, 1), strides=(2, 1), padding="same", activation="relu"),
        nnx.Conv2D(2, 2, padding="same", dilation=2, seed=3),
        nnx.Flatten(),
    ],
    "Conv2DTranspose": lambda: [
        nnx.Reshape((1, 2, 3)),
        nnx.Conv2DTranspose(2, 3, strides=2, padding="same"),
        nnx.Conv2DTranspose(1, (1, 2), dilation=(1, 2), use_bias=False),
        nnx.Flatten(),
    ],
    "Embedding": lambda: [
        nnx.Embedding(9, 3, initializer={"name": "uniform", "low": 0.0, "high": 2.0}),
        nnx.Dense(2),
    ],
    "Identity": lambda: [nnx.Identity()],
    "ReLU": lambda: [nnx.ReLU()],
    "LeakyReLU": lambda: [nnx.LeakyReLU(0.3)],
    "SELU": lambda: [nnx.SELU()],
    "PReLU": lambda: [nnx.PReLU(initial=0.1), nnx.PReLU([1])],
    "Mish": lambda: [nnx.Mish()],
    "HardSigmoid": lambda: [nnx.HardSigmoid()],
    "ELU": lambda: [nnx.ELU(0.7)],
    "GELU": lambda: [nnx.GELU(), nnx.GELU(approximate=True)],
    "SiLU": lambda: [nnx.SiLU()],
    "Sigmoid": lambda: [nnx.Sigmoid()],
    "Tanh": lambda: [nnx.Tanh()],
    "Softplus": lambda: [nnx.Softplus()],
    "Softmax": lambda: [nnx.Softmax()],
    "Dropout": lambda: [nnx.Dropout(0.25)],
    "L1Sparsity": lambda: [nnx.L1Sparsity(0.01)],
    "KLSparsity": lambda: [nnx.Sigmoid(), nnx.KLSparsity(0.1, target=0.2)],
    "GaussianCode": lambda: [nnx.Dense(6), nnx.GaussianCode(beta=0.5)],
    "GaussianNoise": lambda: [nnx.GaussianNoise(0.25)],
    "MaskNoise": lambda: [nnx.MaskNoise(0.25)],
    "TiedDense": lambda: [nnx.Dense(4), nnx.Tanh(), nnx.Dense(4), nnx.TiedDense(3)],
    "Contractive": lambda: [nnx.Contractive([nnx.Dense(4), nnx.Tanh(), nnx.Dense(3)], weight=0.1)],
    "BatchNorm": lambda: [nnx.BatchNorm(momentum=0.8, epsilon=1e-4)],
    "LayerNorm": lambda: [nnx.LayerNorm(epsilon=1e-2)],
    "Rescale": lambda: [nnx.Rescale(1 / 3, -1e9), nnx.Rescale([0.1, 2.0, -3.0, 4.0, 5.0, 6.0], 0.3)],
    "Columns": lambda: [nnx.Columns(1, 4), nnx.Dense(2)],
    "CategoryEmbedding": lambda: [nnx.CategoryEmbedding([3, 4, 5, 2, 9, 6], 2), nnx.Dense(2)],
    "PiecewiseLinearEmbedding": lambda: [
        nnx.PiecewiseLinearEmbedding([[0.1, 0.2, 1 / 3], *[[-1.0, 1.0]] * 5], 3),
        nnx.Dense(2),
    ],
    "PeriodicEmbedding": lambda: [nnx.PeriodicEmbedding(3, 2, 0.7), nnx.Dense(2)],
    "FeatureScale": lambda: [nnx.FeatureScale()],
    "Members": lambda: [nnx.Members(3, "normal"), nnx.Dense(2)],
    "MemberDense": lambda: [nnx.Members(2), nnx.Dense(4), nnx.MemberDense(3)],
    "Exp": lambda: [nnx.Exp()],
    "Ascending": lambda: [nnx.Ascending()],
    "Flatten": lambda: [nnx.Flatten()],
    "Reshape": lambda: [nnx.Reshape((2, -1)), nnx.Dense(4), nnx.Flatten()],
    "Sequential": lambda: [nnx.Sequential([nnx.Dense(5, activation="relu"), nnx.BatchNorm()])],
    "Residual": lambda: [
        nnx.Residual([nnx.BatchNorm(), nnx.Dense(6)]),
        nnx.Residual([nnx.Dense(4)], nnx.Dense(4)),
    ],
    "Concatenate": lambda: [nnx.Concatenate([[], [nnx.Dense(3), nnx.LeakyReLU(0.3)], [nnx.Dropout(0.5)]])],
    "MaxPool1D": lambda: [SEQUENCE(), nnx.MaxPool1D(2, strides=1)],
    "MaxPool2D": lambda: [IMAGE(), nnx.MaxPool2D((2, 1), padding="same")],
    "AveragePool1D": lambda: [SEQUENCE(), nnx.AveragePool1D(3, padding="same")],
    "AveragePool2D": lambda: [IMAGE(), nnx.AveragePool2D(2, (1, 3))],
    "GlobalMaxPool1D": lambda: [SEQUENCE(), nnx.GlobalMaxPool1D()],
    "GlobalMaxPool2D": lambda: [IMAGE(), nnx.GlobalMaxPool2D()],
    "GlobalAveragePool1D": lambda: [SEQUENCE(), nnx.GlobalAveragePool1D()],
    "GlobalAveragePool2D": lambda: [IMAGE(), nnx.GlobalAveragePool2D()],
    "UpSample1D": lambda: [SEQUENCE(), nnx.UpSample1D(3)],
    "UpSample2D": lambda: [IMAGE(), nnx.UpSample2D((1, 2))],
    "SpatialDropout1D": lambda: [SEQUENCE(), nnx.SpatialDropout1D(0.25)],
    "SpatialDropout2D": lambda: [IMAGE(), nnx.SpatialDropout2D(0.25)],
}
BASES = {"Activation", "Container", "Convolution", "ImageLayer", "Masked", "Maximum"}  # nobody uses them


def network(seed=0, **options):
    layers = [nnx.Dense(6, 5), nnx.BatchNorm(), nnx.ReLU(), nnx.Dense(3)]
    return nnx.Network(layers, seed=seed, **options)


@pytest.fixture
def saved(tmp_path):
    made = network()
    made.encoder_length = 3
    path = tmp_path / "model.safetensors"
    made.save(path, {"dataset": "digits", "epochs": 3})
    return made, path


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def rewritten(path: Path, **changes):
    """The file with parts of its description replaced and the checksum set right again."""
    weights, header = load_file(path), described(path)
    for key, change in changes.items():
        if key == "network":
            header[key] = json.dumps(json.loads(header[key]) | change)
        else:
            header[key] = change
    if "crc32" not in changes:
        header["crc32"] = checkpoints.checksum(weights, header)
    save_file(weights, path, header)


def described(path):
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size])["__metadata__"]


# ------------------------------------------------------------------ round trip


def test_every_layer_has_a_round_trip_here():
    public = {name for name, cls in Layer.registry.items() if cls.__module__.startswith("nnx.layers.")}
    assert {name for name in public if not name.startswith("_")} - BASES == set(LAYERS)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_comes_back_as_it_was(name, dtype, tmp_path):
    layers = LAYERS[name]()
    floats = layers[0].input_dtype == "float"
    before = [nnx.Dense(6, 6)] if floats else []
    made = nnx.Network([*before, *layers], seed=1, dtype=dtype, fuse=False).build(6)
    made[1].trainable = False
    x = RNG.normal(size=(9, 6)) if floats else RNG.integers(0, 9, (9, 6))
    made.forward(made.asarray(x), training=True)  # running statistics move
    made.save(tmp_path / "m.safetensors")
    back = nnx.load(tmp_path / "m.safetensors")
    assert back.config() == made.config()
    assert [type(a) for a in back.layers] == [type(a) for a in made.layers]
    assert back.dtype == made.dtype
    assert not back[1].trainable
    for key, value in made.weights().items():
        assert back.weights()[key].tobytes() == value.tobytes(), key
    assert back.predict(x).tobytes() == made.predict(x).tobytes()


def test_a_users_layer_is_loaded_again(tmp_path, monkeypatch):
    monkeypatch.setattr(Layer, "registry", dict(Layer.registry))

    class Scaled(nnx.Layer):
        def __init__(self, by=1.0):
            super().__init__()
            self.by = by

        def parameter_shapes(self):
            return {"factor": (self.inputs,)}

        def forward_into(self, x, y, cache):
            y[...] = x * (self.factor + self.by)

        def config(self):
            return {"by": self.by}

    made = nnx.Network([nnx.Dense(6, 2), Scaled(3.0)], seed=0)
    made.save(tmp_path / "m.safetensors")
    x = RNG.normal(size=(4, 6))
    assert nnx.load(tmp_path / "m.safetensors").predict(x).tobytes() == made.predict(x).tobytes()
    del Layer.registry[f"{__name__}.{Scaled.__qualname__}"]
    with pytest.raises(nnx.FileFormatError, match=r"unknown layer '.*Scaled'"):
        nnx.load(tmp_path / "m.safetensors")


def test_a_model_of_version_0_1_computes_what_it_did(tmp_path):
    """Trained and saved by version 0.1, with its predictions in the metadata."""
    path = OLD / "model-0.1.safetensors"
    x = (np.arange(48) % 7).reshape(8, 6).astype(np.float32) / 8
    made = nnx.load(path)
    assert made.input_shape == (6,)
    assert made.encoder_length == 5
    assert [layer.trainable for layer in made.layers] == [place != 4 for place in range(9)]
    np.testing.assert_allclose(made.predict(x), checkpoints.read_metadata(path)["predicted"], atol=1e-6)
    made.save(tmp_path / "again.safetensors")
    assert described(tmp_path / "again.safetensors")["network"] == described(path)["network"]


def test_code_seed_and_metadata_are_kept(saved):
    made, path = saved
    back = nnx.load(path)
    assert (back.encoder_length, back.seed, back.fuse) == (3, 0, True)
    assert checkpoints.read_metadata(path) == {"dataset": "digits", "epochs": 3}
    assert back.predict(np.ones((2, 6))).tobytes() == made.predict(np.ones((2, 6))).tobytes()


def test_a_trained_network_trains_on_after_loading(saved):
    _, path = saved
    back = nnx.load(path)
    x = RNG.normal(size=(20, 6))
    history = back.fit(
        x, x[:, :3], loss=nnx.MeanSquaredError(), optimizer=nnx.Adam(0.01), epochs=20, batch_size=10
    )
    assert history["loss"][-1] < history["loss"][0]


def test_the_file_is_plain_safetensors(saved):
    made, path = saved
    arrays = load_file(path)
    assert {name: value.tobytes() for name, value in arrays.items()} == {
        name: value.tobytes() for name, value in made.weights().items()
    }
    assert described(path)["format_version"] == str(checkpoints.VERSION)


def test_saving_twice_replaces_the_file_and_leaves_nothing_beside_it(saved, tmp_path):
    made, path = saved
    made[0].W[...] = 1.0
    made.save(path)
    assert (nnx.load(path)[0].W == 1.0).all()
    assert names(tmp_path) == [path.name]


# -------------------------------------------------------------------- damaged


def loads_or_refuses(path: Path, expected: dict[str, bytes]) -> bool:
    """Whether the file was refused; where it is not, it must be whole."""
    try:
        back = nnx.load(path)
    except nnx.FileFormatError as error:
        text = str(error)
    else:
        assert {name: value.tobytes() for name, value in back.weights().items()} == expected
        return False
    assert path.name in text
    assert "\n" not in text
    return True


def test_a_file_cut_anywhere_is_refused(saved):
    made, path = saved
    data = path.read_bytes()
    expected = {name: value.tobytes() for name, value in made.weights().items()}
    for length in {*range(0, len(data), 23), *range(20), len(data) - 1, len(data) - 4}:
        path.write_bytes(data[:length])
        assert loads_or_refuses(path, expected), length
    path.write_bytes(data + b"\0" * 16)
    assert loads_or_refuses(path, expected)


def test_a_file_with_a_flipped_bit_is_refused_or_whole(saved):
    made, path = saved
    data = path.read_bytes()
    expected = {name: value.tobytes() for name, value in made.weights().items()}
    refused = 0
    for position in range(len(data)):
        spoilt = bytearray(data)
        spoilt[position] ^= 1 << (position % 8)
        path.write_bytes(spoilt)
        refused += loads_or_refuses(path, expected)
    assert refused > 0.98 * len(data)  # what is left: blanks that pad the header


def test_a_file_of_noise_or_of_nothing_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    for data in (b"", b"\0" * 100, b"\xff" * 100, RNG.bytes(5000), b"{}", b"PK\x03\x04" + b"\0" * 100):
        path.write_bytes(data)
        with pytest.raises(nnx.FileFormatError, match="not a readable safetensors file"):
            nnx.load(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(nnx.FileFormatError, match="no model file") as caught:
            nnx.load(path)
        assert str(path) in str(caught.value)


def test_a_foreign_safetensors_file_is_refused(tmp_path):
    path = tmp_path / "foreign.safetensors"
    for metadata in (None, {"format": "pt"}):
        save_file({"W": np.zeros((2, 2), np.float32)}, path, metadata)
        with pytest.raises(nnx.FileFormatError, match="foreign"):
            nnx.load(path)


@pytest.mark.parametrize("version", ["2", "0", "99", "one", ""])
def test_another_version_is_refused_by_name(version, saved):
    _, path = saved
    rewritten(path, format_version=version)
    with pytest.raises(nnx.FileFormatError, match=f"format version {version}, this nnx reads 1"):
        nnx.load(path)
    with pytest.raises(nnx.FileFormatError, match="format version"):
        checkpoints.read_metadata(path)


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": 7},
        {"inputs": "six"},
        {"inputs": -6},
        {"inputs": 10**15},
        {"inputs": 1e400},
        {"dtype": "float16"},
        {"dtype": "complicated"},
        {"dtype": 3},
        {"seed": -1},
        {"seed": "x"},
        {"layers": []},
        {"layers": None},
        {"layers": {"a": 1}},
        {"layers": [3]},
        {"layers": [{"kind": "Dense"}]},
        {"layers": [{"kind": "Dens", "config": {}, "trainable": True}]},
        {"layers": [{"kind": "Dense", "config": {"inputs": 6, "unitz": 5}, "trainable": True}]},
        {"layers": [{"kind": "Dense", "config": {"inputs": 6, "units": 10**14}, "trainable": True}]},
        {"layers": [{"kind": "Dropout", "config": {"rate": 7.0}, "trainable": True}]},
        {"layers": [{"kind": "Dropout", "config": {"rate": "high"}, "trainable": True}]},
        {"layers": [{"kind": "Dense", "config": {"inputs": 6, "units": 5}, "trainable": True}]},
    ],
    ids=repr,
)
def test_a_description_that_does_not_fit_its_arrays_is_refused(change, saved):
    _, path = saved
    rewritten(path, network=change)
    with pytest.raises(nnx.FileFormatError) as caught:
        nnx.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "[" * 100_000])
def test_a_description_that_is_no_object_is_refused(text, saved):
    _, path = saved
    rewritten(path)
    weights, header = load_file(path), described(path)
    header["network"] = text
    header["crc32"] = checkpoints.checksum(weights, header)
    save_file(weights, path, header)
    with pytest.raises(nnx.FileFormatError, match="network"):
        nnx.load(path)


def test_arrays_of_another_shape_or_name_are_refused(saved):
    _, path = saved
    for change in ({"dense_1.W": np.zeros((6, 4), np.float32)}, {"stray": np.zeros(2, np.float32)}):
        weights, header = load_file(path) | change, described(path)
        header["crc32"] = checkpoints.checksum(weights, header)
        other = path.with_name("other.safetensors")
        save_file(weights, other, header)
        with pytest.raises(nnx.FileFormatError, match=next(iter(change)).replace(".", r"\.")):
            nnx.load(other)


def test_an_unknown_device_is_not_the_files_fault(saved):
    with pytest.raises(nnx.ConfigurationError, match="unknown device"):
        nnx.load(saved[1], device="gup")


# ---------------------------------------------------- places that cannot be written


def refused(made, path, match="cannot write"):
    with pytest.raises(nnx.NnxError, match=match) as caught:
        made.save(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_missing_is_named(tmp_path):
    refused(network(), tmp_path / "none" / "m.safetensors")
    assert names(tmp_path) == []


def test_a_file_in_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("here")
    refused(network(), tmp_path / "file" / "m.safetensors")
    assert (tmp_path / "file").read_text() == "here"


def test_a_folder_in_place_of_the_file_is_named(tmp_path):
    (tmp_path / "m.safetensors").mkdir()
    refused(network(), tmp_path / "m.safetensors")
    assert names(tmp_path) == ["m.safetensors"]


@pytest.mark.parametrize("step", [(os, "open"), (os, "fsync"), (Path, "replace")], ids=str)
def test_a_disk_that_refuses_leaves_the_older_file(step, saved, monkeypatch, tmp_path):
    made, path = saved
    before = path.read_bytes()
    made[0].W[...] = 7.0

    def refuse(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(*step, refuse)
        refused(made, path, match="No space left on device")
    assert path.read_bytes() == before
    assert names(tmp_path) == [path.name]


def test_the_same_network_gives_the_same_bytes(saved, tmp_path):
    made, path = saved
    about = checkpoints.read_metadata(path)
    for number in range(5):
        made.save(tmp_path / f"{number}.safetensors", about)
        assert (tmp_path / f"{number}.safetensors").read_bytes() == path.read_bytes()


FULL_DISK = """
import resource, signal, sys
import numpy as np, nnx
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sys.dont_write_bytecode = True  # it would be cut
made = nnx.Network([nnx.Dense(200, 200)], seed=0)
made.save(sys.argv[1], {"first": True})
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    made.save(sys.argv[1], {"first": False})
except nnx.NnxError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the size of files")
def test_a_disk_that_fills_while_writing_leaves_the_older_file(tmp_path):
    """A limit on file size fails in the middle of the write, as a full disk does."""
    path = tmp_path / "m.safetensors"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True
    )
    assert f"cannot write {path}" in done.stdout
    assert checkpoints.read_metadata(path) == {"first": True}
    assert names(tmp_path) == [path.name]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write into any folder")
def test_a_read_only_folder_is_named(tmp_path):
    tmp_path.chmod(0o500)
    try:
        refused(network(), tmp_path / "m.safetensors")
    finally:
        tmp_path.chmod(0o700)


def test_metadata_that_json_cannot_hold_is_refused_before_writing(tmp_path):
    with pytest.raises(nnx.ConfigurationError, match="metadata"):
        network().save(tmp_path / "m.safetensors", {"array": np.zeros(3)})
    assert names(tmp_path) == []


def test_a_network_without_weights_is_not_saved(tmp_path):
    with pytest.raises(nnx.ConfigurationError, match="input width"):
        nnx.Network([nnx.Dense(3)]).save(tmp_path / "m.safetensors")
    assert names(tmp_path) == []


def test_metadata_that_could_not_be_read_again_are_not_written(tmp_path):
    network = nnx.Network([nnx.Dense(2, 2)], device="numpy", seed=0)
    with pytest.raises(nnx.ConfigurationError, match="15,728,640"):
        network.save(tmp_path / "m.safetensors", {"names": ["é" * 200] * 12_000})
    assert not list(tmp_path.iterdir())
    network.save(tmp_path / "m.safetensors", {"names": ["é" * 200] * 11_000})
    assert len(nnx.checkpoints.read_metadata(tmp_path / "m.safetensors")["names"]) == 11_000
