"""Numbers that are out of range are refused in one line, before a layer reads them."""

from __future__ import annotations

import re

import numpy as np
import pytest

import nnx
from nnx.layers import integers

pytestmark = pytest.mark.usefixtures("on_cpu")

X = np.random.default_rng(0).integers(0, 30, (64, 5))
Y = np.zeros(64, int)
FIT = {"loss": "cross_entropy", "optimizer": "adam", "batch_size": 16}


def network() -> nnx.Network:
    layers = [nnx.Embedding(30, 4), nnx.Flatten(), nnx.Dense(3), nnx.Softmax()]
    return nnx.Network(layers, device="cpu", seed=0).build(5)


def wrong(value: int, kind: str = "int64") -> np.ndarray:
    x = X.astype(kind)
    x[40, 3] = value
    return x


def mapped(x: np.ndarray, folder) -> nnx.Rows:
    np.save(folder / "x.npy", x)
    return nnx.Rows([X, np.load(folder / "x.npy", mmap_mode="r")])


WAYS = {
    "fit": lambda one, x: one.fit(x, Y, **FIT),
    "fit, as Rows": lambda one, x: one.fit(nnx.Rows(x), Y, **FIT),
    "validation": lambda one, x: one.fit(X, Y, validation=(x, Y), **FIT),
    "evaluate": lambda one, x: one.evaluate(x, Y, loss="cross_entropy"),
    "predict": lambda one, x: one.predict(x, batch_size=9),
    "predict, as Rows": lambda one, x: one.predict(nnx.Rows(x), batch_size=9),
    "forward": lambda one, x: one.forward(x, training=True),
    "a layer": lambda one, x: nnx.Embedding(30, 4).forward(x),
    "gradcheck": lambda one, x: nnx.gradcheck.check(nnx.Embedding(30, 4), x=x),
    "a checked network": lambda one, x: nnx.gradcheck.check(one, x, Y, nnx.CategoricalCrossEntropy()),
}


@pytest.mark.parametrize(
    ("value", "kind"), [(30, "int64"), (-1, "int64"), (-1, "int8"), (255, "uint8"), (2**64 - 1, "uint64")]
)
@pytest.mark.parametrize("way", WAYS)
def test_every_way_names_the_number_and_the_row(way: str, value: int, kind: str) -> None:
    one = network()
    before = one.weights()
    with pytest.raises(nnx.DataError) as caught:
        WAYS[way](one, wrong(value, kind))
    text = str(caught.value)
    assert re.fullmatch(
        rf"x has the number {value}, first in row 40, but [Ee]mbedding(_1)?\(30, 4\) takes 0 to 29: use a "
        "larger vocabulary, or one number for all unknown values",
        text,
    ), text
    assert all((one.weights()[name] == old).all() for name, old in before.items())


def test_files_are_checked_when_they_are_read(tmp_path) -> None:
    rows, labels = mapped(wrong(30), tmp_path), np.zeros(128, int)
    for way in (
        lambda one: one.predict(rows),
        lambda one: one.evaluate(rows, labels, loss="cross_entropy"),
        lambda one: one.fit(rows, labels, **FIT),
    ):
        with pytest.raises(nnx.DataError, match="the number 30, first in row 104, but"):
            way(network())
    good = mapped(X, tmp_path)
    streamed, loaded = network(), network()
    streamed.fit(good, labels, epochs=2, shuffle=False, **FIT)
    loaded.fit(np.concatenate([X, X]), labels, epochs=2, shuffle=False, **FIT)
    assert streamed.predict(X).tobytes() == loaded.predict(X).tobytes()


def test_augmented_numbers_are_checked() -> None:
    with pytest.raises(nnx.DataError, match=r"x from augment has the number 3\d, first in row"):
        network().fit(X, Y, augment=lambda generator, x, y: (x + 10, y), **FIT)


def test_floats_are_refused() -> None:
    for way in ("fit", "predict", "forward", "evaluate", "a layer"):
        with pytest.raises(nnx.DataError, match=r"integers.*astype\(int\)"):
            WAYS[way](network(), X * 1.0)


class Any(nnx.Layer):
    """Half of each integer; it takes any."""

    input_dtype = "integer"

    def forward_into(self, x, y, workspace):
        y[...] = x * 0.5


def test_the_smallest_limit_counts() -> None:
    def limit(*layers: nnx.Layer) -> int | None:
        found = integers.limits(layers)
        return None if found is None else found.limit

    assert limit(nnx.Dense(3)) is None
    assert integers.limits([nnx.Dense(3)]) is None
    assert limit(Any()) is None
    assert integers.limits([Any()]) is not None
    assert limit(nnx.Flatten(), nnx.Embedding(5, 2)) == 5
    assert limit(nnx.Concatenate([[Any()], [nnx.Embedding(9, 1)], [nnx.Embedding(7, 1)]])) == 7
    assert nnx.Network([Any(), nnx.Dense(1)]).predict([[-5, 10**9]]).shape == (1, 1)
