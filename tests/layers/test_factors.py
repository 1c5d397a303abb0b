"""The rounded factors of products: the same bits, whoever writes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.factors import X, layers

import nnx


def network(made: list[nnx.Layer]) -> nnx.Network:
    return nnx.Network(made, device="numpy", seed=0, precision="bfloat16")


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that says whether factors are rounded before they are read, as on a GPU."""
    return lambda value: monkeypatch.setattr(type(nnx.resolve("numpy")), "rounds_ahead", value)


def test_rounding_ahead_gives_the_same_bits(ahead: Any) -> None:
    def trained() -> tuple[dict[str, Any], Any]:
        made = network(layers())
        made.fit(X, X, loss="mse", optimizer=nnx.Adam(1e-2), batch_size=12, epochs=4)  # 12, 12, 12, 4
        return made.weights(), made.predict(X)

    ahead(True)
    weights, y = trained()
    ahead(False)
    expected, expected_y = trained()
    assert y.tobytes() == expected_y.tobytes()
    for name, value in weights.items():
        assert value.tobytes() == expected[name].tobytes(), name


def test_one_call_rounds_all_weights_and_the_input(ahead: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead(True)
    backend, rounded = nnx.resolve("numpy"), []

    def record(x: Any, out: Any, *, plain: Any = backend.round_to_bfloat16) -> Any:
        rounded.append(x.size)
        return plain(x, out)

    made = network([nnx.Dense(6, 16), nnx.ReLU(), nnx.Dense(16), nnx.ReLU(), nnx.Dense(6)])
    monkeypatch.setattr(backend, "round_to_bfloat16", record)
    y = made.forward(X, training=True)
    # up to the last W: b of the last layer lies behind it
    assert rounded == [7 * 16 + 17 * 16 + 16 * 6, X.size, 40 * 16, 40 * 16]
    made.backward(np.ones_like(y))
    assert rounded[4:] == [y.size, 40 * 16, 40 * 16]  # dz of each layer


def test_weights_that_anybody_changed_are_rounded_again(ahead: Any) -> None:
    found = []
    for value in (True, False):
        ahead(value)
        made = network([nnx.Dense(6, 8), nnx.ReLU(), nnx.Dense(6)])
        made.predict(X)
        made[0].W[2] = 0.25
        made[2].W[...] *= 0.5
        found.append(made.predict(X).tobytes())
    assert found[0] == found[1]


def test_a_slice_has_its_own_rounded_weights(ahead: Any) -> None:
    ahead(True)
    made = network([nnx.Dense(6, 8), nnx.ReLU(), nnx.Dense(5), nnx.Tanh(), nnx.Dense(6)])
    whole = made.predict(X)
    assert made[2:].predict(made[:2].predict(X)).tobytes() == whole.tobytes()
