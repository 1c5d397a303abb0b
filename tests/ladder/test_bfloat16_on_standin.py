"""Products with bfloat16 factors on the stand-in: cuBLAS gets 16 bits for each factor."""

from __future__ import annotations

import numpy as np
import pytest
from support.factors import layers

import nnx
from nnx.backends import cublas, cublaslt

pytestmark = pytest.mark.standin
cupy = pytest.importorskip("cupy", reason="needs CuPy's wheel: nox -s ladder")

RNG = np.random.default_rng(3)
X = RNG.normal(size=(40, 6)).astype("f4")


def fitted(device):
    network = nnx.Network(
        [nnx.Dense(6, 8), nnx.ReLU(), nnx.Dense(5), nnx.Tanh(), nnx.Dense(6)],
        device=device, seed=0, precision="bfloat16",
    )  # fmt: skip
    network.fit(X, X, loss="mse", optimizer=nnx.SGD(0.05), batch_size=10, epochs=3)
    return network


def test_factors_have_sixteen_bits_and_training_that_of_the_plain_form(monkeypatch):
    given = []
    nnx.resolve("gpu")._blas_lt()  # it tries itself with other types

    def record(library):
        product = library.product

        def recorded(self, a, b, *more):
            given.append((library, a.dtype.name, b.dtype.name))
            return product(self, a, b, *more)

        monkeypatch.setattr(library, "product", recorded)

    record(cublas.Cublas)
    record(cublaslt.CublasLt)
    found, expected = fitted("gpu").weights(), fitted("numpy").weights()
    assert set(given) == {(library, "uint16", "uint16") for library in (cublas.Cublas, cublaslt.CublasLt)}
    for name, value in found.items():
        # another last bit of float32 can round a factor to the next bfloat16 number: 2⁻⁸ of one of 6 terms
        np.testing.assert_allclose(value, expected[name], rtol=2**-7, atol=2e-4)


def test_a_gpu_before_ampere_multiplies_float32_numbers(monkeypatch):
    from nnx.backends import cupy_devices

    backend = nnx.resolve("gpu")
    monkeypatch.setattr(cupy_devices, "major", lambda index: 7)
    monkeypatch.delitem(vars(backend), "_bfloat16_products", raising=False)
    assert backend.factor_type == "float32"
    found, expected = fitted("gpu").weights(), fitted("numpy").weights()
    del vars(backend)["_bfloat16_products"]
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], rtol=2**-7, atol=2e-4)


def launches(precision, made=None):
    """The launches, allocations and waits of the second training pass of a network."""
    made = made or [nnx.Dense(6, 8), nnx.ReLU(), nnx.Dense(6)]
    network = nnx.Network(made, device="gpu", seed=0, precision=precision)
    x = cupy.asarray(X)
    for _ in range(2):
        with cupy.recorded() as log:
            network.backward(network.forward(x, training=True))
    return log.count("launch"), log.count("alloc"), log.count("wait")


def test_launches_of_a_step():
    """One more for x and all weights, and one for each output that the next layer reads as a factor."""
    many, allocated, waits = launches("bfloat16")
    assert many == launches("float32")[0] + 2
    assert (allocated, waits) == (0, 0)


def test_an_activation_that_cublaslt_lacks_costs_no_launch_of_its_own_for_rounding():
    def made():
        return [nnx.Dense(6, 8), nnx.Tanh(), nnx.Dense(5), nnx.Sigmoid(), nnx.Dense(6)]

    assert launches("bfloat16", made())[0] == launches("float32", made())[0] + 1


@pytest.mark.parametrize("units", [8, 800])  # fewer weights than numbers of x, and more
def test_rows_that_begin_anywhere_are_rounded(units):
    network = nnx.Network([nnx.Dense(6, units)], device="gpu", seed=0, precision="bfloat16")
    x = cupy.asarray(X)
    for rows in (x[1:], x[::2]):  # not at a multiple of 16 bytes, and not contiguous
        found = network.forward(rows).get()
        assert found.tobytes() == network.forward(rows.copy()).get().tobytes()


def test_rounding_ahead_gives_the_bits_of_rounding_where_a_factor_is_read(monkeypatch):
    def trained():
        network = nnx.Network(layers(), device="gpu", seed=0, precision="bfloat16")
        network.fit(X, X, loss="mse", optimizer=nnx.Adam(1e-2), batch_size=12, epochs=4)  # 12, 12, 12, 4
        return network.weights(), network.predict(X)

    weights, y = trained()
    monkeypatch.setattr(type(nnx.resolve("gpu")), "rounds_ahead", False)
    expected, expected_y = trained()
    assert y.tobytes() == expected_y.tobytes()
    for name, value in weights.items():
        assert value.tobytes() == expected[name].tobytes(), name
