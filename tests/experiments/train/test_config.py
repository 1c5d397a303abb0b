"""Options of a training come from the command line, from a file, or from both."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.own_files import iris
from support.own_models import here, trained  # noqa: F401

import nnx
from nnx.cli.main import cli
from nnx.experiments.train.config import RULES, Config, defaults, read_toml

pytestmark = pytest.mark.usefixtures("on_cpu")


def test_a_file_gives_the_options_and_options_override_it():
    Path("run.toml").write_text(
        'target = ["species"]\nignore = "id"\nlayers = ["16 tanh", "dropout 0.1", "8 relu"]\nepochs = 3\n'
        'optimizer = "sgd"\nlearning_rate = 0.1\nmomentum = 0.9\nschedule = "cosine"\nscale = "minmax"\n'
        'loss = "cross_entropy"\nbatch_size = 16\npatience = 2\nvalidation = 0.3\nseed = 4\n'
        'dtype = "float64"\ndevice = "numpy"\nclip_norm = 1\nweight_decay = 0.001\n'
    )
    config = Config.of("iris.csv", {"epochs": 2}, "run.toml")
    assert (config.epochs, config.batch_size, config.layers) == (2, 16, ("16 tanh", "dropout 0.1", "8 relu"))
    result = trained(iris(), "--config", "run.toml", "--epochs", 2, "--seed", 6)
    kept = result["config"]
    assert (kept["epochs"], kept["seed"], kept["optimizer"]) == (2, 6, "sgd")
    assert (result["dtype"], result["backend"], result["seed"]) == ("float64", "numpy", 6)
    assert result["metrics"]["validation_rows"] == 45
    assert nnx.load("run/model.safetensors").config()["layers"][0]["config"]["units"] == 16


def test_a_precision_of_the_command_line_replaces_the_dtype_of_a_file():
    Path("run.toml").write_text('dtype = "float64"\n')
    assert Config.of("iris.csv", {}, "run.toml").precision == "float64"
    config = Config.of("iris.csv", {"precision": "bfloat16"}, "run.toml")
    assert (config.precision, config.dtype) == ("bfloat16", "float32")
    Path("run.toml").write_text('precision = "bfloat16"\n')
    assert Config.of("iris.csv", {"dtype": "float64"}, "run.toml").precision == "float64"
    Path("run.toml").write_text('dtype = "float64"\nprecision = "bfloat16"\n')
    with pytest.raises(nnx.ConfigurationError, match="contradict each other"):
        Config.of("iris.csv", {}, "run.toml")


def test_every_option_is_a_key_and_every_key_an_option():
    offered = {option.name: option for option in cli.commands["train"].params}
    assert set(RULES) <= set(offered)
    assert set(defaults()) == set(RULES)
    page = (Path(nnx.__file__).parents[1] / "docs" / "own-data.md").read_text(encoding="utf-8")
    for name in RULES:
        assert f"| `{name}` |" in page


WRONG_FILES = {
    "an unknown key": ("epoch = 3", ["run.toml", "'epoch'", "did you mean 'epochs'?"]),
    "a key with a dash": ("batch-size = 3", ["'batch-size'", "did you mean 'batch_size'?"]),
    "a table": ("[optimizer]\nname = 'adam'", ["optimizer", "must be one of adam, adamw"]),
    "an unknown name": ("optimizer = 'adm'", ["'adm'", "did you mean 'adam'?"]),
    "a text for a number": ("epochs = '3'", ["epochs", "a whole number of at least 1", "'3'"]),
    "a fraction for a whole number": ("epochs = 2.5", ["a whole number of at least 1", "2.5"]),
    "truth for a number": ("epochs = true", ["a whole number", "True"]),
    "out of range": ("validation = 1.0", ["validation", "above 0 and below 1", "not 1"]),
    "not a number": ("learning_rate = nan", ["learning_rate", "a number above 0", "nan"]),
    "infinite": ("learning_rate = inf", ["a number above 0", "inf"]),
    "numbers for texts": ("layers = [64, 32]", ["layers", "a list of texts", "[64, 32]"]),
    "a size of one side": ("image_size = '28'", ["image_size", "28x28", "'28'"]),
    "no TOML": ("epochs 3", ["run.toml: is no TOML file", "line 1"]),
    "no text": (b"\xff\xfe", ["run.toml: is no TOML file"]),
    "a nest": ("a = " + "[" * 5000, ["run.toml: is no TOML file"]),
    "a very long number": ("a = " + "9" * 5000, ["run.toml: is no TOML file"]),
    "a very long file": ("#" * 2**15, ["more than the 8,192 bytes"]),
}


@pytest.mark.parametrize("what", WRONG_FILES)
def test_a_file_that_says_something_else_is_refused(what):
    text, parts = WRONG_FILES[what]
    Path("run.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(nnx.ConfigurationError) as caught:
        read_toml("run.toml")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    for part in parts:
        assert part in str(caught.value)
