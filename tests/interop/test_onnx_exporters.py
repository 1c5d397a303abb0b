"""Files exported by PyTorch, Keras, tf2onnx and scikit-learn: read as layers with the same numbers.

The files are in tests/support/exported; tests/support/onnx_exporters.py wrote them.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from support.places import EXPORTED

import nnx

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'nnx-arrays[onnx]'")
pytestmark = pytest.mark.usefixtures("on_cpu")

FILES = sorted(EXPORTED.glob("*.onnx"))
LAYERS = {  # what lies between the first Dense and the last
    "gelu": ["GELU"], "gelu-tanh": ["GELU"], "silu": ["SiLU"], "softplus": ["Softplus"], "elu": ["ELU"],
    "softplus-beta": ["Rescale", "Softplus", "Rescale"], "layer-norm": ["LayerNorm"],
    "threshold": ["ReLU"], "prelu": ["LeakyReLU"], "scaled": ["Rescale"], "batch-norm": ["Rescale"],
    "log-sigmoid": ["Rescale", "Softplus", "Rescale"], "selu": ["ELU", "Rescale"], "reshape": [],
    "relu6": ["ReLU", "Rescale", "ReLU", "Rescale"], "regressor": ["ReLU"],
}  # fmt: skip
REFUSED = {
    "log-softmax": "nnx has no LogSoftmax",
    "mish": "Mish|goes to node",
    "two-targets": "(rows, 2) to (?, 1)",  # the exporter's own fault
}
NOTED = {
    "two-classes": "'probabilities' is read; left out: 'label'",
    "three-classes": "'probabilities' is read; left out: 'label'",
    "text-classes": "'output_probability' is read; left out: 'output_label'",
    "standard": "'probabilities' is read; left out: 'label'",
}


def test_there_are_files_of_each_exporter():
    assert {path.name.split("-")[0] for path in FILES} == {
        "torch", "torch18", "torchscript17", "torchscript11", "keras", "sklearn"
    }  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_exported_file_is_read_with_its_numbers(path: Path):
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install onnxruntime")
    name = path.stem.split("-", 1)[1]
    if name in REFUSED:
        with pytest.raises(nnx.FileFormatError) as caught:
            nnx.interop.onnx.load(path)
        assert any(text in str(caught.value) for text in REFUSED[name].split("|"))
        assert "\n" not in str(caught.value)
        return
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        network = nnx.interop.onnx.load(path)
    assert [NOTED[name] in str(one.message) for one in said] == ([True] if name in NOTED else [])
    if name in LAYERS:
        assert [type(layer).__name__ for layer in network.layers][1:-1] == LAYERS[name]
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    x = np.random.default_rng(1).normal(size=(9, *source.shape[1:])).astype(np.float32)
    *_, y = session.run(None, {source.name: x})
    if isinstance(y, list):  # a dictionary for each row
        y = np.array([list(row.values()) for row in y])
    np.testing.assert_allclose(network.predict(x), y, rtol=1e-6, atol=1e-6)
