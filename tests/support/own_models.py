"""Trainings on data of one's own by the command line, tables for them, and models applied."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from support.command_line import invoke


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def trained(*arguments, out="run"):
    return json.loads(invoke("train", *arguments, "--out", out, "-q", "--json").stdout)


def table(text):
    return list(csv.reader(text.splitlines()))


def write(path, header, rows):
    with Path(path).open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def classes(rows=120, share=0.25, name="t.csv"):
    """Two classes of different size, told apart by one of two features; each row has a name and a weight."""
    rng = np.random.default_rng(0)
    label = rng.random(rows) < share
    x = rng.normal(size=(rows, 2)) + np.outer(label, [3.0, 0.0])
    weight = rng.integers(1, 5, rows)
    lines = [(f"r{k}", *x[k], weight[k], "rare" if label[k] else "common") for k in range(rows)]
    return write(name, ["name", "a", "b", "w", "kind"], lines)


def applied(command, *inputs, model="run"):
    invoke(command, model, *inputs, "--out", "out.npy")
    return np.load("out.npy")
