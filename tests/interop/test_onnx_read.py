"""The shape of a row is read from the file, and axes that it does not state are left out with a note."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.onnx_branches import node, numbers, run, written

import nnx

pytestmark = pytest.mark.usefixtures("on_cpu")

W = numbers(5, 5)


def test_rows_with_axes_of_unknown_length_are_vectors(tmp_path: Path, rng):
    path = written(tmp_path / "model.onnx", [node("MatMul", "x", "W")], ("T", 5), W=W)
    with pytest.warns(UserWarning, match=r"x\.reshape\(-1, 5\)"):
        network = nnx.interop.onnx.load(path)
    x = rng.standard_normal((2, 3, 5)).astype(np.float32)
    np.testing.assert_allclose(
        network.predict(x.reshape(-1, 5)).reshape(x.shape), run(path, x), rtol=5e-6, atol=5e-6
    )
