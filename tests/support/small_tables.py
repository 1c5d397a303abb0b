"""Small tables with numbers, categories and missing cells, and targets that follow from them."""

from __future__ import annotations

import numpy as np


def table(rows=300, seed=0):
    """Columns by name: two numbers, one of them with gaps, and a category."""
    random = np.random.default_rng(seed)
    size, weight = random.standard_normal((2, rows))
    colour = random.choice(["blue", "green", "red"], rows)
    gaps = random.random(rows) < 0.1
    return {
        "size": size,
        "weight": np.where(gaps, np.nan, weight),
        "colour": colour.astype(object),
    }


def numbers_for(columns):
    """A number for each row: it bends at size 0, and depends on the colour."""
    colour = np.array([{"blue": 0.0, "green": 2.0, "red": -2.0}[one] for one in columns["colour"]])
    return np.abs(columns["size"]) + colour + 0.2 * np.nan_to_num(columns["weight"])


def classes_for(columns, names=("high", "low", "middle")):
    """One of three classes for each row."""
    y = numbers_for(columns)
    return np.array(names, object)[np.where(y > 2.0, 0, np.where(y < 0.0, 1, 2))]
