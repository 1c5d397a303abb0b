"""What is a class and what a value, and the same from every kind of file."""

from __future__ import annotations

import numpy as np
import pandas
import pytest
from support.own_tables import here, read, written  # noqa: F401

import nnx
from nnx.experiments.train.labelled import load_labelled


def sources(y, names=None):
    """The same targets as each source can hold them."""
    y = np.asarray(y)
    x = np.arange(len(y) * 2.0).reshape(-1, 2) % 7
    table = y.reshape(len(y), -1)
    np.save("x.npy", x)
    np.save("y.npy", y)
    np.savez("both.npz", x=x, y=y)
    pandas.DataFrame(table).to_csv("labels.csv", index=False, header=False)
    whole = pandas.DataFrame({"p": x[:, 0], "q": x[:, 1]})
    for k in range(table.shape[1]):
        whole[f"t{k}"] = table[:, k]
    whole.to_csv("table.csv", index=False)
    at = ",".join(str(3 + k) for k in range(table.shape[1]))
    return [("x.npy", ["y.npy"]), ("x.npy", ["labels.csv"]), ("both.npz", []), ("table.csv", [at])]


N = 60
TARGETS = {
    "texts": (np.array(["b", "a"] * 30), "classification"),
    "texts of numbers with decimal places": (np.arange(N) / 7, "regression"),
    "truths": (np.arange(N) % 2 == 0, "classification"),
    "0 and 1": (np.arange(N) % 2, "classification"),
    "0.0 and 1.0": (np.arange(N) % 2.0, "classification"),
    "one-hot integers": (np.eye(3, dtype=int)[np.arange(N) % 3], "classification"),
    "one-hot floats": (np.eye(3)[np.arange(N) % 3], "classification"),
    "digits": (np.arange(N) % 10, None),
    "digits as floats": (np.arange(N) % 10.0, None),
    "prices": (np.arange(N) * 1000, None),
    "several values": (np.stack([np.arange(N), np.arange(N) * 2], 1), "regression"),
    "several labels": (np.stack([np.arange(N) % 2, np.arange(N) % 3 // 2], 1), None),
    "shares": (np.stack([np.arange(N) / N, 1 - np.arange(N) / N], 1), "regression"),
}  # fmt: skip


@pytest.mark.parametrize("what", TARGETS)
def test_the_same_targets_are_the_same_from_every_source(what):
    y, task = TARGETS[what]
    for source, target in sources(y):
        if task is None:
            with pytest.raises(nnx.ConfigurationError, match="--task regression"):
                load_labelled(source, target=target)
            continue
        found = load_labelled(source, target=target)
        assert found.task == task, source
        if task == "regression":
            np.testing.assert_allclose(found.y, y.reshape(N, -1), rtol=1e-15)
        elif y.ndim == 2:
            np.testing.assert_array_equal(found.y, np.argmax(y, axis=1))
        else:
            np.testing.assert_array_equal(found.y, np.unique(y, return_inverse=True)[1])


@pytest.mark.parametrize("what", ["digits", "digits as floats", "one-hot floats"])
def test_a_task_that_is_said_decides(what):
    y = TARGETS[what][0]
    for source, target in sources(y):
        classes = load_labelled(source, "classification", target)
        np.testing.assert_array_equal(classes.y, np.arange(N) % len(classes.classes))
        if what != "one-hot floats":
            assert classes.classes == tuple(map(str, range(10))), source
        values = load_labelled(source, "regression", target)
        np.testing.assert_array_equal(values.y, y.reshape(N, -1))


def test_a_file_of_labels_may_have_a_heading_an_index_and_texts():
    np.save("x.npy", np.arange(12.0).reshape(6, 2))
    y = ["cat", "dog", "cat", "dog", "dog", "cat"]
    pandas.Series(y, name="animal").to_csv("named.csv", index=False)
    pandas.Series(y).to_csv("index.csv")
    pandas.Series(y, name="animal").to_csv("both.csv")
    pandas.Series(y, name="animal", index=[3, 1, 4, 9, 5, 2]).to_csv("shuffled.csv")
    for name in ("named.csv", "index.csv", "both.csv", "shuffled.csv"):
        found = load_labelled("x.npy", target=[name])
        assert (found.classes, found.y.tolist()) == (("cat", "dog"), [0, 1, 0, 1, 1, 0])
    assert "only counts or names the rows" in found.notes[-1]
    pandas.Series([0.5, 1, 0, 2, 1, 0], name="price").to_csv("price.csv")  # the index is no second target
    found = load_labelled("x.npy", target=["price.csv"])
    assert (found.targets, found.y.ravel().tolist()) == (("price",), [0.5, 1, 0, 2, 1, 0])
    pandas.Series([0, 1, 0, 1, 1, 0]).to_csv("zero.csv", index=False)  # under the name 0
    found = load_labelled("x.npy", target=["zero.csv"])
    assert found.y.tolist() == [0, 1, 0, 1, 1, 0]
    assert "line 1 is taken as a name" in found.notes[-1]
    written("1\n2\n3\n", "short.csv")
    with pytest.raises(nnx.DataError, match="holds 6 samples, but 3 targets"):
        load_labelled("x.npy", "regression", ["short.csv"])


def test_classes_that_are_the_same_number_are_one():
    found = read("a,y\n1,1\n2,1.0\n3,2\n4,2.00\n", ("y",), "classification")
    assert (found.classes, found.y.tolist()) == (("1", "2"), [0, 0, 1, 1])
