"""Tables that are written as text and read as data to train on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import nnx
from nnx.experiments.train.labelled import Reading, load_labelled

ROWS = [(1.5, 20.0, "red"), (2.25, 40.0, "blue"), (3.0, 1234.5, "red"), (-4.75, 0.5, "blue")]
PLAIN = "a,b,kind\n" + "".join(f"{a},{b},{kind}\n" for a, b, kind in ROWS)
GERMAN = "a;b;kind\n" + "".join(f"{a};{b};{kind}\n" for a, b, kind in ROWS).replace(".", ",")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def written(data: str | bytes, name: str = "t.csv") -> str:
    Path(name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return name


def read(data: str | bytes, target=("kind",), task="auto", ignore=(), **how):
    return load_labelled(written(data), task, target, ignore, how=Reading(**how))


def refused(data: str | bytes, *given, error=nnx.NnxError, **options) -> str:
    with pytest.raises(error) as caught:
        read(data, *given, **options)
    text = str(caught.value)
    assert text.startswith(("t.csv", "no --target is given"))
    assert "\n" not in text
    assert len(text) < 1000
    return text


def body(rows=40, columns=12, seed=0):
    """Drawn numbers, and the lines of a table that hold them."""
    x = np.random.default_rng(seed).normal(size=(rows, columns)).round(3)
    return x, "".join(",".join(map(str, row)) + "\n" for row in x)
