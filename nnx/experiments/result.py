"""The result of an experiment, the folder that stores it, and how to read it again."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
import platform
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

import nnx
from nnx.callbacks import Callback, History, Run
from nnx.errors import FileFormatError, OutputError, shown
from nnx.experiments.environment import environment
from nnx.files import clear, make_folder, probe, replacing
from nnx.network import Network
from nnx.readers.arrays import TABLES
from nnx.training.statistics import KINDS

logger = logging.getLogger("nnx.experiments")

HostArray = np.ndarray[Any, Any]
RESULT_VERSION = 1
# The entries of a result that are stored as JSON, and their types.
STORED: dict[str, type] = {
    "experiment": str, "preset": str, "dataset": str, "device": str, "backend": str, "dtype": str,
    "precision": str, "seed": int, "metrics": dict, "timing": dict, "artifacts": dict, "versions": dict,
    "environment": dict, "config": dict, "notes": list,
}  # fmt: skip
MODEL_FILE, RESULT_FILE, HISTORY_FILE = "model.safetensors", "result.json", "history.csv"
CHECKED = (HISTORY_FILE, "report.npz")  # files with checksums: a report shows numbers from them
MAX_BYTES = 2**26  # of one of the two files: a million epochs are 40 MB


@dataclass
class Result:
    """The measurements of one experiment, and what is needed to draw it.

    Attributes
    ----------
    experiment, preset, dataset, device, backend, dtype : str
        The data that was used, the device that computed, and so on.
    seed : int
    precision : str
        That of the network: float32, float64 or bfloat16. `dtype` is the type of its weights.
    metrics : dict
        Figures of merit; plain numbers and lists.
    timing : dict of str to float
        Seconds, ``steps`` and ``microseconds_per_step``.
    artifacts : dict of str to str
        Files written, by purpose, relative to the run's folder.
    versions : dict of str to str
    environment : dict
        The machine: see `nnx.experiments.environment`.
    config : dict
        The configuration that gives this result again.
    notes : list of str
        Facts that a reader of the result must know, for example that a data set was replaced.
    checksums : dict of str to str
        CRC-32 of each written file; that of the result is computed without this entry.
    history : History or None
    network : Network or None
    arrays : dict of str to array
        Data of the figures: never in the JSON.
    description : dict
        Entries of the model file besides experiment, preset and data set: never in the JSON.
    """

    experiment: str
    preset: str
    dataset: str
    device: str
    backend: str
    dtype: str
    seed: int
    metrics: dict[str, Any] = field(default_factory=dict)
    timing: dict[str, float] = field(default_factory=dict)
    artifacts: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=lambda: versions())
    environment: dict[str, str | int] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    checksums: dict[str, str] = field(default_factory=dict)
    history: History | None = None
    network: Network | None = None
    arrays: dict[str, HostArray] = field(default_factory=dict)
    description: dict[str, Any] = field(default_factory=dict)
    precision: str = ""

    def __post_init__(self) -> None:
        self.precision = self.precision or self.dtype  # of a run before nnx had precisions
        self.environment = self.environment or environment(self.device, self.backend, self.precision)

    @classmethod
    def of(cls, experiment: str, network: Network, /, **values: Any) -> Result:
        """Return the result of an experiment with a network, which gives device, float type and seed."""
        return cls(
            experiment, device=network.device, backend=network.backend.name, dtype=network.dtype.name,
            precision=network.precision, seed=network.seed, **values,
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``result.json`` and ``--json``; a number that is not finite becomes None."""
        stored = {"result_version": RESULT_VERSION} | {name: finite(getattr(self, name)) for name in STORED}
        return stored | ({"checksums": self.checksums} if self.checksums else {})


@dataclass(frozen=True)
class RunFolder:
    """A run's folder: ``result.json``, ``history.csv``, ``model.safetensors``, ``figures/``, a report.

    Parameters
    ----------
    path : Path
    """

    path: Path

    @staticmethod
    def finished(path: Path) -> bool:
        """Return whether a folder holds the result of a run, which is written last."""
        return (path / RESULT_FILE).exists()

    @staticmethod
    def refuse_finished(path: Path) -> None:
        """Raise an OutputError if a folder holds a result."""
        if RunFolder.finished(path):
            raise OutputError(f"{path} already holds a result: choose another --out, or remove it")

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """Make the folder, and check before the training that it can be written.

        Raises
        ------
        OutputError
            If it cannot be written, or holds a result already.
        """
        cls.refuse_finished(path)
        folder = make_folder(path)
        for place in (folder, folder / "figures"):
            clear(place)
        probe(folder)
        return cls(folder)

    def write_training(self, result: Result) -> None:
        """Write the history and the model, if there are any, and add them to the result's artifacts."""
        if result.history is not None and result.history.epochs:
            result.history.write_csv(self.path / HISTORY_FILE)
            result.artifacts["history"] = HISTORY_FILE
        if result.network is not None:
            about = {name: getattr(result, name) for name in ("experiment", "preset", "dataset")}
            result.network.save(self.path / MODEL_FILE, about | result.description)
            result.artifacts["model"] = MODEL_FILE

    def write(self, result: Result) -> None:
        """Write the result, after everything else: a folder with a result is complete."""
        result.artifacts["result"] = RESULT_FILE
        names = [name for name in CHECKED if (self.path / name).is_file()]
        sums = {name: file_checksum(self.path / name) for name in names}
        result.checksums = sums | {RESULT_FILE: checksum(result.to_json())}
        text = json.dumps(result.to_json(), indent=2, allow_nan=False) + "\n"
        with replacing(self.path / RESULT_FILE) as file:
            file.write(text.encode())


def checksum(stored: dict[str, Any]) -> str:
    """Return the CRC-32 of a result without its checksums, however its JSON is laid out."""
    rest = {name: value for name, value in stored.items() if name != "checksums"}
    return f"{zlib.crc32(json.dumps(rest, sort_keys=True).encode()):08x}"


def file_checksum(path: Path) -> str:
    """Return the CRC-32 of a file's bytes."""
    crc = 0
    with path.open("rb") as file:
        while piece := file.read(2**20):
            crc = zlib.crc32(piece, crc)
    return f"{crc:08x}"


def finite(value: Any) -> Any:
    """Return a value for JSON, which has neither NaN nor infinity: None in their place, at any depth."""
    if isinstance(value, dict):
        return {name: finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def step_time(microseconds: float) -> str:
    """Return the time of a step for a reader, in µs, ms or s: less than 1,000 of each.

    Three digits are enough: the time of a step varies by more than that from run to run.
    """
    value, units = microseconds, ["µs", "ms", "s"]
    while float(f"{value:.3g}") >= 1000.0 and len(units) > 1:
        value, units = value / 1000.0, units[1:]
    return f"{value:,.0f} {units[0]}" if value >= 100.0 else f"{value:.3g} {units[0]}"


def read_run(folder: Path) -> Result:
    """Return the result in a run's folder, with its history, but without its network and arrays.

    Raises
    ------
    FileFormatError
        If the folder holds no result, or one that is damaged or of another version.
    """
    path = folder / RESULT_FILE
    if not path.is_file():
        raise FileFormatError(f"no {RESULT_FILE} in {folder}: give the folder of a finished run")
    try:
        stored = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path} is damaged ({error}): run the experiment again") from error
    result = _result(stored, path)
    result.checksums = stored.get("checksums", {})  # a run of version 0.1 has none
    _check(result.checksums, stored, folder)
    history = folder / HISTORY_FILE
    if history.is_file():
        result.history = _history(history)
    return result


def _check(sums: Any, stored: dict[str, Any], folder: Path) -> None:
    """Check that the result, and the files that a report takes numbers from, are as they were written."""
    known = isinstance(sums, dict) and sums.keys() <= {RESULT_FILE, *CHECKED}
    if not known or (sums and sums.get(RESULT_FILE) != checksum(stored)):
        raise FileFormatError(
            f"{folder / RESULT_FILE} is damaged (its checksum is another): run it again, or take out its "
            "entry checksums if you changed it yourself"
        )
    for path in (folder / name for name in CHECKED if name in sums):
        try:
            right = not path.is_file() or file_checksum(path) == sums[path.name]
        except OSError as error:
            raise FileFormatError(f"cannot read {path} ({error.strerror or error})") from error
        if not right:
            raise FileFormatError(f"{path} is damaged (its checksum is another): remove it, or run again")


def _text(path: Path) -> str:
    """Return a file's text; refuse a file that is too large before it is read."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise FileFormatError(f"cannot read {path} ({error.strerror or error})") from error
    if len(data) > MAX_BYTES:
        raise FileFormatError(f"{path} holds more than the {MAX_BYTES:,} bytes accepted")
    return data.decode("utf-8")


def _result(stored: Any, path: Path) -> Result:
    if not isinstance(stored, dict) or stored.get("result_version") != RESULT_VERSION:
        found = stored.get("result_version") if isinstance(stored, dict) else type(stored).__name__
        raise FileFormatError(
            f"{path}: version {found!r} of the format, where {RESULT_VERSION} is read: "
            "use the nnx that wrote it"
        )
    # what a run before nnx recorded it lacks
    stored = {"environment": {"system": "not recorded"}, "precision": stored.get("dtype")} | stored
    unknown = sorted(stored.keys() - STORED.keys() - {"result_version", "checksums"})
    if unknown:
        raise FileFormatError(f"{path} is damaged (it has an entry {shown(unknown[0])}): run it again")
    for name, kind in STORED.items():
        if not isinstance(stored.get(name), kind):
            raise FileFormatError(f"{path} is damaged ({name} is no {kind.__name__}): run it again")
    return Result(**{name: stored[name] for name in STORED})


def _history(path: Path) -> History:
    history = History()
    try:
        rows = list(csv.reader(io.StringIO(_text(path), newline="")))
        columns = list(zip(*rows[1:], strict=True))
        history.epochs = [int(cell) for cell in columns[0]]
        for name, cells in zip(rows[0][1:], columns[1:], strict=True):
            values = history.statistics if name.partition("/")[0] in KINDS else history.metrics
            values[name] = [float(cell) for cell in cells]
    except (ValueError, IndexError, csv.Error) as error:
        raise FileFormatError(f"{path} is damaged ({error}): remove it, or run again") from error
    return history


def model_path(path: Path) -> Path:
    """Return the model file of a run's folder, or the file itself; refuse a path that has none."""
    if path.suffix.lower() in TABLES and not path.is_dir():
        raise FileFormatError(
            f"{path} is a table, not a model: MODEL is a run's folder, for example runs/NAME"
        )
    candidate = path / MODEL_FILE if path.is_dir() else path
    if not candidate.is_file():
        raise FileFormatError(f"no model in {path}: give a run's folder or a .safetensors file")
    return candidate


def versions() -> dict[str, str]:
    """Return the versions of nnx, Python and the libraries that computed."""
    found = {"nnx": nnx.__version__, "python": platform.python_version(), "numpy": np.__version__}
    cuda = ("cupy-cuda12x", "cupy-cuda13x", "cuml-cu12", "cuml-cu13")
    for name in ("scikit-learn", "scikit-learn-intelex", *cuda):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


class Stopwatch(Callback):
    """Measures training, in one `fit` or several; separately the first step, which allocates workspaces."""

    def __init__(self) -> None:
        self.histories: list[History] = []

    def on_train_begin(self, run: Run) -> None:
        """Add the history of another `fit`."""
        self.histories.append(run.history)

    def timing(self) -> dict[str, float]:
        """Return the entries of a result's timing about training."""
        train = sum(history.training_seconds for history in self.histories)
        steps = sum(history.steps for history in self.histories)
        first = self.histories[0].first_step_seconds if self.histories else 0.0
        return {
            "first_step_seconds": first,
            "train_seconds": train,
            "steps": steps,
            "microseconds_per_step": max(train - first, 0.0) / max(steps - 1, 1) * 1e6,
        }
