"""The options of ``nnx train``: one table has the name, kind, range and meaning of each.

A key of a TOML file is an option of the command line without its dashes; both are checked here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from nnx import losses, optimizers
from nnx.errors import ConfigurationError, DataError, nearest
from nnx.experiments.options import Rule
from nnx.experiments.precision import DTYPE, PRECISION, Precise, newest_given
from nnx.experiments.train.labelled import TASKS
from nnx.experiments.train.scaling import SCALES
from nnx.readers.form import BACKGROUNDS, CATEGORIES, HEADERS, MISSING, Reading
from nnx.readers.opening import reading
from nnx.schedules import BY_NAME as SCHEDULES
from nnx.training.nonfinite import POLICIES

MAX_FILE = 2**13  # bytes of a TOML file: time and memory grow with the square of the number of dotted names
LOSSES = {kind.record.command: kind for kind in losses.KINDS if kind.record.command}
PRESETS = ("conv", "tabular")
# What --preset tabular sets where the user does not; 0 epochs: as many as fit the rows.
TABULAR = {"epochs": 0, "batch_size": 256, "patience": 40}

RULES = {
    "task": Rule("name", "The task; auto: found from the data, or an error if unclear.", ("auto", *TASKS)),
    "target": Rule("columns", "Columns to learn, by name or number; for an array, the file with its targets.",
                   metavar="COLUMN[,COLUMN]"),
    "ignore": Rule("columns", "Columns of a table not to use.", metavar="COLUMN[,COLUMN]"),
    "missing": Rule("name", "For empty cells of a table (also NA, NaN, null and ?): report an error, drop "
                    "the row, or fill in the mean or the median of the training rows.", MISSING),
    "categories": Rule("name", "For columns of text in a table: report an error, or a feature for each text.",
                       CATEGORIES),
    "delimiter": Rule("name", "Character between the columns of a table, or comma, semicolon, tab, pipe, "
                      "space. Default: found from the file.", metavar="CHARACTER"),
    "decimal": Rule("name", "The decimal mark of a table. Default: found from the file.", (".", ",")),
    "encoding": Rule("name", "Encoding of a table: utf-8, utf-16, cp1252, … Default: found from the file.",
                     metavar="NAME"),
    "header": Rule("name", "Whether the first line of a table names its columns; auto: found from the file.",
                   HEADERS),
    "background": Rule("name", "Color behind the transparent parts of images.", BACKGROUNDS),
    "weights": Rule("name", "Weights of the rows: a column of the table, an array of the .npz, or a file.",
                    metavar="COLUMN"),
    "class_weight": Rule("names", "Weights of the classes in the loss: balanced (all count the same), or "
                         "NAME=FACTOR for some of them.", metavar="balanced|NAME=X[,NAME=X]"),
    "image_size": Rule("size", "Resize all images of a folder to this size.", metavar="HxW"),
    "scale": Rule("name", "Scaling of the features; auto: standard, but bytes are divided by 255.", SCALES),
    "preset": Rule("name", "conv: convolutional layers for images, chosen by their size. tabular: for "
                   "tables with columns of any kind: numbers, texts, dates, booleans, empty cells.", PRESETS),
    "kinds": Rule("names", "With --preset tabular: the kind of some columns, where the guess is wrong: "
                  "number, category, boolean, date, date:dmy, date:mdy or ignore.",
                  metavar="COLUMN=KIND[,…]"),
    "layers": Rule("names", "The hidden layers: a width with an activation (relu by default), dropout RATE, "
                   "batch_norm, layer_norm, conv2d FILTERS SIZE, max_pool2d; for an autoencoder the encoder, "
                   "whose last width is the code.", metavar="'64 relu,dropout 0.2'"),
    "residual": Rule("flag", "Make a residual block of each hidden layer after the first: "
                     "x + f(LayerNorm(x))."),
    "loss": Rule("name", f"One of {', '.join(LOSSES)}. Auto: cross_entropy for classes, mse for values, "
                 "binary_cross_entropy for images.", ("auto", *LOSSES), metavar="NAME"),
    "quantiles": Rule("names", "The levels of loss pinball, between 0 and 1 and ascending. Default: 0.5, the "
                      "median.", metavar="X[,X]"),
    "label_smoothing": Rule("number", "For the cross-entropies and focal: targets of 1 and 0 become "
                            "1 - X + X/classes and X/classes.", high=1.0, metavar="X"),
    "optimizer": Rule("name", "", tuple(kind.record.names[0] for kind in optimizers.KINDS)),
    "learning_rate": Rule("number", "Default: the optimizer's.", above=True, metavar="X"),
    "schedule": Rule("name", "How the learning rate changes; restarts has 3 cycles, plateau lowers it when "
                     "the validation loss does not improve.", SCHEDULES),
    "find_lr": Rule("flag", "Before training, search the learning rate with a copy of the network."),
    "momentum": Rule("number", "Momentum of sgd and rmsprop.", high=1.0, metavar="X"),
    "weight_decay": Rule("number", "Decoupled from the gradient (as in AdamW). Default: the optimizer's.",
                         metavar="X"),
    "clip_norm": Rule("number", "Limit for the norm of all gradients together.", above=True, metavar="X"),
    "group": Rule("names", "Other settings for the parameters whose names match a pattern: learning_rate, "
                  "weight_decay or l2. Can be given several times; if two groups match, the first counts.",
                  metavar="'PATTERN NAME=X'", several=True),
    "epochs": Rule("whole", "", low=1, metavar="N"),
    "batch_size": Rule("whole", "Rows in a batch; at most all rows.", low=1, metavar="N"),
    "accumulate": Rule("whole", "Batches of a step: their gradients are added.", low=1, metavar="N"),
    "average": Rule("number", "Use running averages of the parameters over the steps, of this decay: 0.999.",
                    high=1.0, above=True, metavar="X"),
    "patience": Rule("whole", "Stop after this many epochs without a smaller validation loss; keep the best.",
                     low=1, metavar="N"),
    "validation": Rule("number", "Share of the rows to hold out for validation.", high=1.0, above=True,
                       metavar="X"),
    "on_nonfinite": Rule("name", "What to do when a loss or gradient is NaN or infinite.", POLICIES),
    "seed": Rule("whole", "Seed of the split, the weights, shuffles and dropout.", high=2**63, metavar="N"),
    "device": Rule("name", "auto, cpu, gpu, gpu:N, numpy, numba or cupy; default: NNX_DEVICE, else auto.",
                   metavar="DEVICE"),
    "precision": PRECISION,
    "dtype": DTYPE,
}  # fmt: skip


@dataclass(frozen=True)
class Config(Precise):
    """Configuration of training on one's own data; `RULES` explains each option.

    Attributes
    ----------
    data : str
        The file or folder.
    task, target, ignore, weights, image_size, scale, missing, categories, delimiter, decimal, encoding
    header, background
        How the data is read.
    class_weight
        How much each class counts in the loss.
    preset, kinds, layers, residual, loss, optimizer, learning_rate, schedule, momentum, weight_decay
    clip_norm, group
        The network, and how a step is taken.
    find_lr, accumulate, average
        A search for the learning rate; batches of a step; the decay of the average of the parameters.
    epochs, batch_size, patience, validation, seed, device, precision, dtype, on_nonfinite
        How long, on what, where, and what follows on a fault.
    """

    data: str
    task: str = "auto"
    target: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    weights: str | None = None
    class_weight: tuple[str, ...] = ()
    missing: str = "error"
    categories: str = "error"
    delimiter: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    header: str = "auto"
    background: str = "white"
    image_size: tuple[int, int] | None = None
    scale: str = "auto"
    preset: str | None = None
    kinds: tuple[str, ...] = ()
    layers: tuple[str, ...] = ("64 relu", "32 relu")
    residual: bool = False
    loss: str = "auto"
    quantiles: tuple[str, ...] = ()
    label_smoothing: float | None = None
    optimizer: str = "adam"
    learning_rate: float | None = None
    schedule: str = "constant"
    momentum: float | None = None
    weight_decay: float | None = None
    clip_norm: float | None = None
    group: tuple[str, ...] = ()
    epochs: int = 50
    batch_size: int = 32
    patience: int | None = None
    validation: float = 0.2
    seed: int = 0
    device: str | None = None
    dtype: str = ""
    on_nonfinite: str = "stop"
    precision: str = ""
    find_lr: bool = False
    accumulate: int = 1
    average: float | None = None

    def reading(self) -> Reading:
        """Return how files are read."""
        return Reading(
            self.delimiter, self.decimal, self.encoding, self.header, self.missing, self.categories,
            self.background,
        )  # fmt: skip

    @classmethod
    def of(cls, data: str, options: Mapping[str, Any], file: str | Path | None = None) -> Config:
        """Make a configuration from options, which override those of a TOML file.

        Raises
        ------
        ConfigurationError
            If a key is unknown (the text names the nearest), or a value is not what its rule says.
        """
        values = {} if file is None else read_toml(file)
        values = newest_given(options, values)
        for name, value in options.items():
            values[name] = RULES[name].checked(value, "--" + name.replace("_", "-"))
        if values.get("preset") == "tabular":
            values = TABULAR | values
        return cls(data, **values)


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file and check its values.

    Raises
    ------
    ConfigurationError
        If it cannot be read, is no TOML, or a key or value is not one of `RULES`.
    """
    try:
        with reading(path) as file:
            text = file.read(MAX_FILE + 1)
    except DataError as error:
        raise ConfigurationError(str(error)) from error
    if len(text) > MAX_FILE:
        raise ConfigurationError(f"{path}: has more than the {MAX_FILE:,} bytes accepted")
    try:
        found = tomllib.loads(text.decode())
    except (ValueError, RecursionError) as error:  # ValueError: no TOML, no UTF-8, a number of 5,000 digits
        reason = str(error).splitlines()[0][:200]
        raise ConfigurationError(f"{path}: is no TOML file that can be read ({reason})") from error
    for key in found:
        if key not in RULES:
            raise ConfigurationError(f"{path}: there is no key {key[:40]!r}{nearest(key, RULES)}")
    return {key: RULES[key].checked(value, f"{path}: {key}") for key, value in found.items()}


def defaults() -> dict[str, Any]:
    """Return the default of each option, by name."""
    return {entry.name: entry.default for entry in fields(Config) if entry.name in RULES}
