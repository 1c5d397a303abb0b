"""Arrays of other libraries as input: results are NumPy arrays, and unreadable input gives one clear line."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import nnx
from nnx.backends import Backend
from nnx.data.checking import check_samples
from nnx.estimators import Autoencoder, NetworkClassifier, NetworkRegressor

pytestmark = pytest.mark.usefixtures("on_cpu")

X = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
Y = (X[:, :1] > 0.0).astype(np.float32)
WEIGHTS = np.linspace(1.0, 2.0, 12, dtype=np.float32)
MSE = nnx.MeanSquaredError()


class Exchanged:
    """Has DLPack's two methods and nothing else."""

    def __init__(self, array: np.ndarray, device: tuple[int, int] = (1, 0)) -> None:
        self.array, self.device = array, device

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device


def library(name: str) -> Any:
    """A library, or a skip that says how to install it; of these the tests' own are pandas and Polars."""
    return pytest.importorskip(name, reason=f"{name} is not installed: pip install {name}")


def frame(name: str, array: np.ndarray) -> Any:
    """A data frame of two dimensions, a series of one."""
    if array.ndim == 1:
        return library(name).Series(array)
    return library(name).DataFrame({f"column {i}": column for i, column in enumerate(array.T)})


def torch(array: np.ndarray) -> Any:
    return library("torch").from_numpy(array.copy())


def jax(array: np.ndarray) -> Any:
    return library("jax").numpy.asarray(array)


def arrow_table(array: np.ndarray, first: float | None = 0.0) -> Any:
    """A table of Arrow; `first` replaces the first number."""
    pa = library("pyarrow")
    columns = array.T.tolist()
    columns[0][0] = array[0, 0] if first == 0.0 else first
    names = [f"column {i}" for i in range(len(columns))]
    return pa.table({name: pa.array(c, pa.float32()) for name, c in zip(names, columns, strict=True)})


def arrow(array: np.ndarray) -> Any:
    """A table of Arrow of two dimensions, an array of one."""
    return library("pyarrow").array(array) if array.ndim == 1 else arrow_table(array)


MAKERS = {
    "dlpack": Exchanged,
    "pandas": partial(frame, "pandas"),
    "polars": partial(frame, "polars"),
    "torch": torch,
    "jax": jax,
    "arrow": arrow,
    "read-only": lambda array: np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape),
}


@pytest.fixture(params=list(MAKERS))
def make(request: pytest.FixtureRequest) -> Callable[[np.ndarray], Any]:
    return MAKERS[request.param]


def network(device: str | Backend = "cpu") -> nnx.Network:
    return nnx.Network([nnx.Dense(3, 4), nnx.Tanh(), nnx.Dense(1)], seed=0, device=device)


def test_a_network_takes_it_and_gives_numpy(make, backend):
    options = {"loss": MSE, "optimizer": nnx.Adam(0.01), "epochs": 3, "batch_size": 5}
    expected, one = network(backend), network(backend)
    expected.fit(X, Y, sample_weight=WEIGHTS, validation=(X, Y), **options)
    one.fit(make(X), make(Y), sample_weight=make(WEIGHTS), validation=(make(X), make(Y)), **options)
    predicted = one.predict(make(X))
    assert type(predicted) is np.ndarray
    assert (predicted == expected.predict(X)).all()
    result = one.evaluate(make(X), make(Y), loss=MSE, metrics=["mse"], sample_weight=make(WEIGHTS))
    assert result == expected.evaluate(X, Y, loss=MSE, metrics=["mse"], sample_weight=WEIGHTS)
    x = one.asarray(make(X))
    assert (backend.to_numpy(x) == X).all()
    assert (backend.to_numpy(one.forward(x)) == predicted).all()


@pytest.mark.parametrize("name", ["dlpack", "torch", "jax", "read-only"])
def test_an_array_of_the_networks_type_is_not_copied(name):
    one, x = network(), MAKERS[name](X)
    there = x.array if isinstance(x, Exchanged) else np.asarray(x)
    samples = check_samples(one, MSE, x, Y)
    assert np.shares_memory(samples.x, there)
    assert np.shares_memory(samples.columns()["x"].arrays[0], there)
    assert np.shares_memory(one.asarray(x), there)


def test_a_column_of_arrow_is_not_copied():
    weights = library("pyarrow").array(WEIGHTS)
    samples = check_samples(network(), MSE, X, Y, weights)
    assert np.shares_memory(samples.weights, np.asarray(weights))


def test_labels_and_the_autoencoder_s_own_data(make):
    labels = Y[:, 0].astype(np.int64)
    classifier = nnx.Network([nnx.Dense(3, 2), nnx.Softmax()], seed=0)
    classifier.fit(
        make(X), make(labels), loss=nnx.CategoricalCrossEntropy(), optimizer=nnx.Adam(), batch_size=4
    )
    x = make(X)
    nnx.Network([nnx.Dense(3, 2), nnx.Dense(3)]).fit(x, x, loss=MSE, optimizer=nnx.Adam(), batch_size=4)


@pytest.mark.parametrize("kind", [Autoencoder, NetworkClassifier, NetworkRegressor])
def test_an_estimator_takes_it_and_gives_numpy(make, kind):
    y = Y[:, 0]
    expected = kind(epochs=3, random_state=0).fit(X, y, sample_weight=WEIGHTS)
    model = kind(epochs=3, random_state=0).fit(make(X), make(y), sample_weight=make(WEIGHTS))
    name = "transform" if kind is Autoencoder else "predict"
    found = getattr(model, name)(make(X))
    assert type(found) is np.ndarray
    assert (found == getattr(expected, name)(X)).all()
    assert model.network_.dtype == np.float32
    if kind is Autoencoder:
        assert (model.inverse_transform(MAKERS["dlpack"](found)) == expected.inverse_transform(found)).all()


def test_columns_without_a_common_type_are_numbers_all_the_same():
    pd, pl = library("pandas"), library("polars")
    mixed = pd.DataFrame({"a": [0.5, 1.5], "b": [True, False], "c": pd.array([1, 2], "Int64")})
    assert np.asarray(mixed).dtype == object
    expected = network().predict(np.array([[0.5, 1.0, 1.0], [1.5, 0.0, 2.0]]))
    assert (network().predict(mixed) == expected).all()
    assert (
        network().predict(pl.from_dict({"a": [0.5, 1.5], "b": [True, False], "c": [1, 2]})) == expected
    ).all()


class Stubborn:
    """An array of which its library gives no NumPy form."""

    dtype = "bfloat16"

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __array__(self, *args: Any, **options: Any) -> Any:
        raise self.error


def bfloat16(library: str) -> Any:
    return torch(X).bfloat16() if library == "torch" else jax(X).astype("bfloat16")


def columns(first: Any, name: str = "pandas", kind: str = "DataFrame") -> Any:
    """A data frame of three columns, the first of them given."""
    return getattr(library(name), kind)({"a": first, "b": [1.0, 1.0], "c": [1.0, 1.0]})


ONE_LINE = ["x, a tests.Stubborn of bfloat16", "(it requires grad)"]
MISSING = ["x must hold numbers", "object"]
REFUSED = {
    "on a GPU": (
        lambda: Exchanged(X, (2, 0)),
        ["x lies on gpu:0", "computes on cpu", "network.to('gpu:0')", "cupy.asnumpy(x)"],
    ),
    "attached": (lambda: Stubborn(RuntimeError("it requires\ngrad.")), ONE_LINE),
    "of another type": (lambda: Stubborn(TypeError("unknown")), ["(unknown)", "cast it to float32"]),
    "a missing value": (lambda: columns(library("pandas").array([1, None], "Int64")), MISSING),
    "a column of text": (lambda: columns(["1", "2"]), MISSING),
    "text in polars": (lambda: columns(["1", "2"], "polars"), MISSING),
    "a null": (lambda: columns([1.0, None], "polars"), ["NaN", "row 1"]),
    "lazy": (lambda: columns([1.0, 2.0], "polars", "LazyFrame"), MISSING),
    "on no CUDA": (lambda: Exchanged(X, (8, 0)), ["x lies on", "without CUDA", ": copy x to the host"]),
    "sparse, torch": (lambda: torch(X).to_sparse(), ["x is sparse", "x = x.to_dense()"]),
    "a null in arrow": (lambda: arrow_table(X, None), ["NaN", "row 0"]),
    "torch, no data": (lambda: torch(X).to("meta"), ["x, a torch.Tensor of torch.float32", "meta"]),
    "torch, grad": (lambda: torch(X).requires_grad_(), ["x, a torch.Tensor of torch.float32", "detach()"]),
    "torch, bfloat16": (lambda: bfloat16("torch"), ["torch.bfloat16", "cast it to float32"]),
    "jax, bfloat16": (lambda: bfloat16("jax"), ["x must hold numbers, not bfloat16: cast it to float32"]),
}


@pytest.mark.parametrize(("give", "words"), REFUSED.values(), ids=list(REFUSED))
def test_what_cannot_be_read_is_refused_in_a_line(give, words):
    with pytest.raises(nnx.DataError) as caught:
        network().fit(give(), Y, loss=MSE, optimizer=nnx.Adam(), batch_size=2)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "give",
    [lambda: Exchanged(X, (2, 0)), lambda: torch(X).requires_grad_(), lambda: bfloat16("torch")],
    ids=["on a GPU", "torch, grad", "torch, bfloat16"],
)
def test_an_estimator_refuses_it_in_a_line_too(give):
    with pytest.raises(nnx.DataError, match=r"^X") as caught:
        NetworkRegressor().fit(give(), Y)
    assert "\n" not in str(caught.value)


def test_asarray_refuses_what_lies_on_a_gpu_with_advice():
    with pytest.raises(nnx.DeviceError, match=r"gpu:0, but .* on cpu: .*cupy\.asnumpy\(x\)"):
        network().asarray(Exchanged(X, (2, 0)))
    with pytest.raises(nnx.DataError, match="its rows differ in length"):
        network().asarray([[1.0], [1.0, 2.0]])


def test_a_masked_number_is_refused_as_masked_cells_are():
    with pytest.raises(nnx.DataError, match=r"^x has 1 masked cell, first in row 0: fill them"):
        network().asarray(np.ma.masked)
