"""Files of C, compiled strictly and with sanitizers, compute what `predict` does."""

from __future__ import annotations

import re
import shutil
import subprocess

import numpy as np
import pytest
from support.browser import unavailable
from support.compiled_c import Compiled, checked, compiled, gcc
from support.step_programs import built, every_layer, random_network

import nnx
from nnx.experiments import autoencoder
from nnx.experiments.autoencoder_presets import PRESETS
from nnx.standalone import Examples, Meaning, export
from nnx.standalone.c import ALLOWED, Writer
from nnx.standalone.lowering import lower

TOLERANCE = {"float": 2e-5, "double": 1e-12}  # of the largest number of the answers


class Scaling:
    def __init__(self, shift, scale):
        self.shift, self.scale = np.array(shift), np.array(scale)


def close(found, expected, kind="float"):
    expected = expected.reshape(len(expected), -1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE[kind] * np.abs(expected).max())


@pytest.mark.parametrize(("kind", "precision"), [("float", "float32"), ("double", "float64")])
@pytest.mark.parametrize("name", sorted(every_layer()))
def test_every_layer_computes_what_predict_does(tmp_path, name, kind, precision):
    network, x = built(name, precision)
    export(network, tmp_path / "model.c")
    close(Compiled(tmp_path, "model").predict(x), network.predict(x), kind)


@pytest.mark.parametrize("seed", range(9))
def test_random_networks_compute_what_predict_does(tmp_path, seed):
    network, x = random_network(seed)
    export(network, tmp_path / "model.c")
    close(Compiled(tmp_path, "model").predict(x), network.predict(x))


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_the_presets_of_the_autoencoder_check_themselves(tmp_path, preset):
    network = autoencoder.build(autoencoder.Config(preset, device="numpy", seed=0), 64)
    x = np.random.default_rng(0).uniform(size=(64, 64)).astype("float32")
    network.fit(x, x, loss="binary_cross_entropy", optimizer="adam", epochs=2)
    export(network, tmp_path / "model.c")
    assert "self-check on 8 rows: largest difference" in checked(tmp_path, "model")


def test_a_scaling_and_classes_are_in_the_file(tmp_path):
    """Inputs near 1e9 keep their digits, and names are text, whatever they hold."""
    network = nnx.Network([nnx.Dense(3), nnx.Softmax()], seed=0, device="numpy").build(2)
    x, z = np.array([[1e9 + 0.25, 4.0], [1e9 - 3.5, 0.0]]), np.array([[0.25, 2.0], [-3.5, 0.0]])
    y = network.predict(z)
    names = ('a"; */ ??/ \\', "é\n", "%s")
    meaning = Meaning(
        Scaling([1e9, 0.0], [1.0, 2.0]), classes=names, features=("*/", "/* ??/\\"), title="*/\\"
    )
    export(network, tmp_path / "iris-2.c", meaning=meaning, examples=Examples(x, y))
    (tmp_path / "iris_2.c").write_bytes((tmp_path / "iris-2.c").read_bytes())
    close(Compiled(tmp_path, "iris_2").predict(x), y)
    assert f"class {names[int(y[0].argmax())]}\n" in checked(tmp_path, "iris_2")


def test_answers_in_the_units_of_the_data_keep_their_digits(tmp_path):
    network = nnx.Network([nnx.Dense(4), nnx.Reshape((2, 2))], seed=0, device="numpy").build(2)
    x, scaling = np.array([[0.5, -1.0]]), Scaling([1e9, 1e6], [1.0, 2.0])
    y = network.predict(x).astype(float)
    expected = np.stack(
        [y[..., 0] * scaling.scale + scaling.shift, nnx.GaussianNLL().spread(np, y) * scaling.scale]
    )
    meaning = Meaning(outputs=scaling, several=("mean", "spread"), spread=True)
    expected = np.moveaxis(expected, 0, 2)
    export(network, tmp_path / "m.c", meaning=meaning, examples=Examples(x, expected))
    found = Compiled(tmp_path, "m").predict(x)
    np.testing.assert_allclose(found, expected.reshape(1, -1), rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize(
    ("layers", "shape", "x", "place"),
    [
        ([nnx.Dense(2)], 3, [0.0, np.nan, 0.0], 2),
        ([nnx.Dense(2)], 3, [0.0, 0.0, -np.inf], 3),
        ([nnx.Embedding(5, 2)], 2, [4, 5], 2),
        ([nnx.Embedding(5, 2)], 2, [-1, 0], 1),
    ],
)
def test_numbers_that_predict_refuses_are_refused_with_their_place(tmp_path, layers, shape, x, place):
    export(nnx.Network(layers, seed=0, device="numpy").build(shape), tmp_path / "m.c")
    done = Compiled(tmp_path, "m").run([x])
    assert (done.returncode, done.stderr) == (3, b"wrong %d\n" % place)


def test_a_number_that_overflows_when_it_is_scaled_is_refused(tmp_path):
    network = nnx.Network([nnx.Dense(2)], seed=0, device="numpy").build(1)
    x = np.array([[1.0]])
    examples = Examples(x, network.predict((x - 1.0) / 1e-5))
    export(network, tmp_path / "m.c", meaning=Meaning(Scaling([1.0], [1e-5])), examples=examples)
    assert Compiled(tmp_path, "m").run([[1e38]]).stderr == b"wrong 1\n"


@pytest.mark.parametrize(("kind", "dtype"), [("float", np.float32), ("double", np.float64)])
def test_weights_have_their_exact_values(tmp_path, kind, dtype):
    """Also the smallest and the largest numbers."""
    network = nnx.Network([nnx.Dense(64)], seed=0, precision=str(np.dtype(dtype)), device="numpy").build(1)
    special = [
        np.finfo(dtype).max,
        np.finfo(dtype).smallest_subnormal,
        -np.finfo(dtype).tiny,
        0.1,
        1 / 3,
        -0.0,
    ]
    network.layers[0].W[0, :6] = special
    zero = np.zeros((1, 1))
    export(network, tmp_path / "m.c", examples=Examples(zero, network.predict(zero)))
    text = (tmp_path / "m.c").read_text()
    written = re.search(r"dense_1_W\[64\] = \{([^}]*)\}", text)
    found = [float.fromhex(number.strip().rstrip("f")) for number in written.group(1).split(",")]
    assert np.array(found, dtype).tobytes() == network.layers[0].W.tobytes()
    program = compiled(tmp_path, "m.c", "-DM_MAIN")  # gcc warns of constants that it cannot represent
    assert program.exists()


def test_weights_that_float_cannot_hold_are_refused(tmp_path):
    network = nnx.Network([nnx.Dense(2)], seed=0, precision="float64", device="numpy").build(1)
    network.layers[0].W[0, 0] = 1e300
    with pytest.raises(nnx.ConfigurationError, match=r"dense_1\.W has numbers that are too large for float"):
        export(network, tmp_path / "m.c", type="float")
    assert not list(tmp_path.iterdir())


def test_the_self_check_finds_a_wrong_weight(tmp_path):
    export(nnx.Network([nnx.Dense(2)], seed=0, device="numpy").build(3), tmp_path / "m.c")
    text = (tmp_path / "m.c").read_text()
    at = text.index("{", text.index("dense_1_W[6]")) + 6
    (tmp_path / "m.c").write_text(text[:at] + "0x1p+0f + " + text[at:])
    with pytest.raises(AssertionError, match=r"self-check on 8 rows: largest difference [\d.]+, allowed"):
        checked(tmp_path, "m")


def test_the_self_check_finds_an_answer_that_is_nan(tmp_path):
    export(nnx.Network([nnx.Dense(2)], seed=0, device="numpy").build(3), tmp_path / "m.c")
    text = (tmp_path / "m.c").read_text()
    (tmp_path / "m.c").write_text(text.replace("y[j] = b[j];", "y[j] = b[j] * NAN;"))
    with pytest.raises(AssertionError, match=r"self-check on 8 rows: largest difference inf, allowed"):
        checked(tmp_path, "m")


@pytest.mark.parametrize(
    "layers",
    [
        [nnx.ReLU()],
        [nnx.HardSigmoid()],
        [nnx.GELU(True)],
        [nnx.Softmax()],
        [nnx.PReLU()],
        [nnx.Reshape((3, 1)), nnx.MaxPool1D(3), nnx.Flatten()],
    ],
)
def test_numbers_that_overflow_give_nan_as_predict_does(tmp_path, layers):
    """Such as inf - inf, of which no layer may make an ordinary number."""
    network = nnx.Network([nnx.Dense(3), nnx.Dense(3), *layers], seed=0, device="numpy").build(2)
    weights = network.weights()
    first, second = (name for name in weights if name.endswith("W"))
    network.set_weights(
        weights
        | {first: np.full((2, 3), 3.0, "float32")}
        | {second: np.array([[1, -1, 1], [-1, 1, 1], [0, 0, 1]], "float32")}
    )
    export(network, tmp_path / "m.c")
    x = np.full((1, 2), 3e38, "float32")
    with np.errstate(all="ignore"):
        y = network.predict(x)
    assert np.isnan(y).any()
    assert np.array_equal(np.isnan(Compiled(tmp_path, "m").predict(x)), np.isnan(y))


def test_sizes_are_those_in_the_file():
    network = nnx.Network([nnx.Dense(32), nnx.ReLU(), nnx.Dense(10), nnx.Softmax()], seed=0).build(64)
    made = Writer(lower(network), "digits")
    assert made.weight_bytes == 4 * network.parameter_count() == 4 * 2410
    assert made.memory_bytes == 4 * 32
    assert "#define DIGITS_MEMORY 32 " in made.text()
    assert "Weights: 2,410 numbers, 9,640 bytes, constant. Memory: 128 bytes" in made.text()


def test_a_file_allocates_nothing_and_holds_only_what_it_calls():
    text = Writer(lower(nnx.Network([nnx.Dense(3), nnx.Tanh()], seed=0).build(2)), "m").text()
    assert "malloc" not in text
    assert re.findall(r"^#include (.*)", text, re.MULTILINE) == [
        "<stdint.h>",
        "<float.h>",
        "<math.h>",
        "<stddef.h>",
    ]
    assert "softmax" not in text
    assert text.isascii()


def test_a_program_in_cpp_calls_it(tmp_path):
    if shutil.which("g++") is None:
        unavailable("g++ is not on the PATH: apt-get install g++")
    network = nnx.Network([nnx.Dense(2)], seed=0, device="numpy").build(3)
    export(network, tmp_path / "m.c", meaning=Meaning(classes=("one", "two")))
    (tmp_path / "main.cpp").write_text(
        '#define M_HEADER\n#include "m.c"\n#include <cstdio>\n'
        "int main() { float x[M_INPUTS] = {1, 2, 3}, y[M_OUTPUTS]; int wrong = m_predict(x, y);"
        'std::printf("%.9g %.9g %s", y[0], y[1], m_classes[m_class(y)]); return wrong; }'
    )
    strict = ["-Wall", "-Wextra", "-Werror", "-pedantic"]
    for command in (
        [gcc(), "-std=c99", *strict, "-c", "m.c", "-o", "m.o"],
        ["g++", "-std=c++11", *strict, "main.cpp", "m.o", "-o", "program"],
    ):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    done = subprocess.run([tmp_path / "program"], capture_output=True, text=True)
    y = network.predict(np.array([[1, 2, 3]], "float32"))[0]
    *found, name = done.stdout.split()
    np.testing.assert_allclose(np.array(found, float), y, rtol=1e-6)
    assert name == ("one", "two")[int(y.argmax())]


def test_an_unknown_type_is_refused():
    network = nnx.Network([nnx.Dense(3)], seed=0).build(2)
    with pytest.raises(nnx.ConfigurationError, match="type must be 'float' or 'double', not 'half'"):
        Writer(lower(network), "m", "half")


def test_what_is_allowed_is_more_than_what_is_tested():
    assert all(ALLOWED[kind] > tested for kind, tested in TOLERANCE.items())
