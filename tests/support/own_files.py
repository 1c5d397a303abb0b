"""Files of one's own data: flowers in a table, digits as images; and a written table read back."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from nnx.datasets import load_digits


def iris(header=True, name="iris.csv"):
    """The flowers of scikit-learn as a table: four measures, a number of no meaning, the species."""
    from sklearn.datasets import load_iris

    bunch = load_iris()
    with Path(name).open("w", newline="") as file:
        writer = csv.writer(file)
        if header:
            writer.writerow(["sepal length", "sepal width", "petal length", "petal width", "id", "species"])
        for number, (row, label) in enumerate(zip(bunch.data, bunch.target, strict=True)):
            writer.writerow([*row, number, bunch.target_names[label]])
    return name


def digit_images(folder="digits", count=120, by_class=True, size=8):
    data = load_digits()
    for index in range(count):
        place = Path(folder, f"digit {data.y_train[index]}") if by_class else Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        image = (data.x_train[index].reshape(8, 8) * 255).astype(np.uint8)
        Image.fromarray(image).resize((size, size)).save(place / f"{index:03}.png")
    return folder


def table(path):
    with Path(path).open(newline="") as file:
        return list(csv.reader(file))


def digits(count=60):
    """Return images as bytes of shape (count, 8, 8), and their labels."""
    data = load_digits()
    return np.round(data.x_train[:count] * 255).astype(np.uint8).reshape(-1, 8, 8), data.y_train[:count]
