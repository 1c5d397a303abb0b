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
    "threshold": ["ReLU"], "prelu": ["PReLU"], "keras-prelu": ["LeakyReLU"],
    "scaled": ["Rescale"], "batch-norm": ["Rescale"],
    "log-sigmoid": ["Rescale", "Softplus", "Rescale"], "selu": ["SELU"], "reshape": [],
    "relu6": ["ReLU", "Rescale", "ReLU", "Rescale"], "regressor": ["ReLU"],
}  # fmt: skip
ON_IMAGES: dict[str, tuple[list[str], list[str]]] = {  # all layers: of PyTorch's file, of Keras's
    "lenet": (
        ["Conv2D", "ReLU", "MaxPool2D", "Conv2D", "Tanh", "AveragePool2D", "Flatten", "Dense", "ReLU",
         "Dense"],
        ["Conv2D", "ReLU", "MaxPool2D", "Conv2D", "Rescale", "ReLU", "AveragePool2D", "Flatten", "Dense",
         "Softmax"],
    ),
    "conv-autoencoder": (
        ["Conv2D", "ReLU", "Conv2D", "Flatten", "Dense", "Dense", "ReLU", "Reshape", "Conv2DTranspose",
         "ReLU", "UpSample2D", "Conv2D", "Sigmoid"],
        ["Conv2D", "ReLU", "Flatten", "Dense", "Dense", "Reshape", "Conv2DTranspose", "Conv2D", "Sigmoid"],
    ),
    "adaptive": (["Conv2D", "GELU", "GlobalAveragePool2D", "Dense"], []),
    "block": (["Residual", "ReLU", "Conv2D", "GlobalAveragePool2D"], []),
    "depthwise": ([], ["Conv2D", "Conv2D", "ReLU", "Conv2D", "GlobalAveragePool2D"]),
    "sequences": ([], ["Reshape", "Conv2D", "Reshape", "Rescale", "ReLU", "Flatten", "Dense"]),
    "words": (["Embedding", "Flatten", "Dense"], []),
    "sentences": (["Embedding", "Conv1D", "ReLU", "GlobalMaxPool1D"], []),
}  # fmt: skip
REFUSED = {
    "log-softmax": "nnx has no LogSoftmax",
    "mish": "Mish|goes to node",
    "two-targets": "(rows, 2) to (?, 1)",  # the exporter's own fault
    "keras-words": "its input has the type int32",  # it adds the vocabulary to negative numbers
}
NOTED = {
    "two-classes": "'probabilities' is read; left out: 'label'",
    "three-classes": "'probabilities' is read; left out: 'label'",
    "text-classes": "'output_probability' is read; left out: 'output_label'",
    "standard": "'probabilities' is read; left out: 'label'",
}


def told_of_images(said: list[str]) -> tuple[str, list[str]]:
    """What of input and output has channels first; and the other warnings."""
    moved = [text for text in said if "channels on axis 1" in text]
    others = [text for text in said if text not in moved and "nnx has no such padding" not in text]
    return " ".join(text.split(": its ")[1].split()[0] for text in moved), others


def test_there_are_files_of_each_exporter():
    assert {path.name.split("-")[0] for path in FILES} == {
        "torch", "torch18", "torchscript17", "torchscript11", "keras", "sklearn"
    }  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_exported_file_is_read_with_its_numbers(path: Path):
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install onnxruntime")
    name = path.stem.split("-", 1)[1]
    if name in REFUSED or path.stem in REFUSED:
        with pytest.raises(nnx.FileFormatError) as caught:
            nnx.interop.onnx.load(path)
        assert any(text in str(caught.value) for text in REFUSED.get(name, REFUSED.get(path.stem)).split("|"))
        assert "\n" not in str(caught.value)
        return
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        network = nnx.interop.onnx.load(path)
    on_images, said = told_of_images([str(one.message) for one in said])
    assert [NOTED[name] in text for text in said] == ([True] if name in NOTED else [])
    expected = LAYERS.get(path.stem, LAYERS.get(name))
    if expected is not None:
        assert [type(layer).__name__ for layer in network.layers][1:-1] == expected
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    x = np.random.default_rng(1).normal(size=(9, *source.shape[1:])).astype(np.float32)
    if "int" in source.type:
        x = np.arange(x.size).reshape(x.shape) % 9
    *_, y = session.run(None, {source.name: x})
    if isinstance(y, list):  # a dictionary for each row
        y = np.array([list(row.values()) for row in y])
    if name not in ON_IMAGES:
        np.testing.assert_allclose(network.predict(x), y, rtol=1e-6, atol=1e-6)
        return
    own = network.predict(np.moveaxis(x, 1, -1) if "input" in on_images else x)
    own = np.moveaxis(own, -1, 1) if "output" in on_images else own
    np.testing.assert_allclose(own, y, rtol=1e-5, atol=1e-5)  # up to 72 products a number, seven layers
    layers = [type(layer).__name__ for layer in network.layers]
    layers = [kind for kind in layers if kind != "BatchNorm"]  # one exporter puts it into the weights
    assert layers == ON_IMAGES[name][path.stem.startswith("keras")]
