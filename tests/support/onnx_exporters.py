"""Write the files in tests/support/exported: small networks as other libraries export them.

The files are stored, so that tests read real files and need none of these libraries. To write them again:

    pip install torch onnxscript skl2onnx tf2onnx tensorflow
    python tests/support/onnx_exporters.py tests/support/exported
"""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)


def stripped(path: Path) -> None:
    """Without the names of source files and the like."""
    model = onnx.load(path)
    model.doc_string = ""
    del model.metadata_props[:]
    for holder in (
        model.graph,
        *model.graph.node,
        *model.graph.input,
        *model.graph.output,
        *model.graph.value_info,
    ):
        holder.doc_string = ""
        if hasattr(holder, "metadata_props"):
            del holder.metadata_props[:]
    path.write_bytes(model.SerializeToString())


def torch_files(folder: Path) -> None:
    """Both exporters of PyTorch, at three operator sets."""
    import torch
    from torch import nn

    class Scaled(nn.Module):
        def forward(self, x):
            return (x - 0.5) / 0.25

    layers = {
        "gelu": nn.GELU(), "gelu-tanh": nn.GELU("tanh"), "silu": nn.SiLU(), "softplus": nn.Softplus(),
        "softplus-beta": nn.Softplus(beta=2.0), "layer-norm": nn.LayerNorm(3), "relu6": nn.ReLU6(),
        "two-batch-norms": nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3)), "prelu": nn.PReLU(),
        "threshold": nn.Threshold(0, 0), "log-softmax": nn.LogSoftmax(1), "scaled": Scaled(),
        "mish": nn.Mish(),
    }  # fmt: skip
    exporters: dict[str, dict[str, Any]] = {
        "torch": {"dynamic_shapes": ({0: torch.export.Dim("rows")},)},
        "torch18": {"dynamic_shapes": ({0: torch.export.Dim("rows")},), "opset_version": 18},
        "torchscript17": {
            "dynamo": False,
            "opset_version": 17,
            "input_names": ["x"],
            "dynamic_axes": {"x": {0: "rows"}},
        },
        "torchscript11": {
            "dynamo": False,
            "opset_version": 11,
            "input_names": ["x"],
            "dynamic_axes": {"x": {0: "rows"}},
        },
    }
    written = set()
    for name, layer in layers.items():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 3), layer, nn.Linear(3, 2)).eval()
        for exporter, options in exporters.items():
            path = folder / f"{exporter}-{name}.onnx"
            with contextlib.redirect_stdout(io.StringIO()):
                torch.onnx.export(model, (torch.tensor(X),), path, external_data=False, **options)
            stripped(path)
            nodes = [(n.op_type, len(n.input)) for n in onnx.load(path).graph.node]
            if (name, str(nodes)) in written:  # as another exporter wrote it
                path.unlink()
            written.add((name, str(nodes)))


IMAGES = np.random.default_rng(0).normal(size=(6, 2, 8, 8)).astype(np.float32)
WORDS = np.random.default_rng(0).integers(0, 9, (6, 5))


def torch_images(folder: Path) -> None:
    """Networks on images with channels first, and on words, as both exporters of PyTorch write them."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.way = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU())
            self.last = nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=False)

        def forward(self, x):
            return self.last(torch.relu(self.way(x) + x)).mean((2, 3))

    class Sentences(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.conv = nn.Embedding(9, 3), nn.Conv1d(3, 4, 2)

        def forward(self, x):
            return torch.relu(self.conv(self.table(x).transpose(1, 2))).amax(2)

    models = {
        "lenet": (nn.Sequential(
            nn.Conv2d(2, 3, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 4, 3), nn.Tanh(),
            nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4, 5), nn.ReLU(), nn.Dropout(), nn.Linear(5, 3),
        ), IMAGES),
        "conv-autoencoder": (nn.Sequential(
            nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 3, stride=2, padding=1),
            nn.Flatten(), nn.Linear(12, 5), nn.Linear(5, 12), nn.ReLU(), nn.Unflatten(1, (3, 2, 2)),
            nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1), nn.BatchNorm2d(4), nn.ReLU(),
            nn.Upsample(scale_factor=2), nn.Conv2d(4, 2, 3, padding=1), nn.Sigmoid(),
        ), IMAGES),
        "adaptive": (nn.Sequential(
            nn.Conv2d(2, 4, 3, groups=2), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
        ), IMAGES),
        "block": (Block(), IMAGES),
        "words": (nn.Sequential(nn.Embedding(9, 3), nn.Flatten(), nn.Linear(15, 2)), WORDS),
        "sentences": (Sentences(), WORDS),
    }  # fmt: skip
    exporters: dict[str, dict[str, Any]] = {
        "torch": {"dynamic_shapes": ({0: torch.export.Dim("rows")},)},
        "torchscript17": {
            "dynamo": False, "opset_version": 17, "input_names": ["x"], "dynamic_axes": {"x": {0: "rows"}},
        },
    }  # fmt: skip
    for name, (model, rows) in models.items():
        torch.manual_seed(0)
        for value in model.parameters():
            nn.init.normal_(value, std=0.5)
        for exporter, options in exporters.items():
            path = folder / f"{exporter}-{name}.onnx"
            with contextlib.redirect_stdout(io.StringIO()):
                torch.onnx.export(model.eval(), (torch.tensor(rows),), path, external_data=False, **options)
            stripped(path)


def keras_images(folder: Path) -> None:
    """Networks on images with channels last, and on words, in Keras's own export."""
    import keras
    from keras import layers as k

    x = np.moveaxis(IMAGES, 1, -1)
    stacks = {
        "lenet": (x, [
            k.Conv2D(3, 5, padding="same", activation="relu"), k.MaxPooling2D(2), k.Conv2D(4, 3),
            k.BatchNormalization(), k.ReLU(), k.AveragePooling2D(2), k.Flatten(), k.Dense(3, "softmax"),
        ]),
        "conv-autoencoder": (x, [
            k.Conv2D(4, 3, strides=2, padding="same", activation="relu"), k.Flatten(), k.Dense(5),
            k.Dense(48), k.Reshape((4, 4, 3)), k.Conv2DTranspose(4, 3, strides=2, padding="same"),
            k.Conv2D(2, 3, padding="same", activation="sigmoid"),
        ]),
        "depthwise": (x, [
            k.SeparableConv2D(4, 3, padding="same"), k.ReLU(), k.DepthwiseConv2D(2),
            k.GlobalAveragePooling2D(),
        ]),
        "sequences": (x[:, 0], [k.Conv1D(4, 3, padding="same"), k.ReLU(), k.Flatten(), k.Dense(2)]),
        "words": (WORDS, [k.Embedding(9, 3), k.Flatten(), k.Dense(2)]),
    }  # fmt: skip
    for name, (rows, stack) in stacks.items():
        kind = "int32" if name == "words" else "float32"
        model = keras.Sequential([keras.Input(rows.shape[1:], dtype=kind), *stack])
        model(rows)
        rng = np.random.default_rng(1)
        for layer in model.layers:
            low = 0.25 if "normalization" in layer.name else -0.5
            layer.set_weights([rng.uniform(low, low + 1.0, w.shape) for w in layer.get_weights()])
        model.export(folder / f"keras-{name}.onnx", format="onnx", verbose=False)
        stripped(folder / f"keras-{name}.onnx")


def keras_files(folder: Path) -> None:
    """Keras's own export, which is tf2onnx's."""
    import keras
    from keras import layers as k

    layers = {
        "batch-norm": k.BatchNormalization(), "layer-norm": k.LayerNormalization(), "elu": k.ELU(0.7),
        "gelu-tanh": k.Activation(lambda x: keras.activations.gelu(x, approximate=True)),
        "hard-sigmoid": k.Activation("hard_sigmoid"), "prelu": k.PReLU(alpha_initializer="ones"),
        "log-sigmoid": k.Activation("log_sigmoid"), "selu": k.Activation("selu"), "reshape": k.Reshape((3,)),
    }  # fmt: skip
    models = {name: [keras.Input((4,)), k.Dense(3), layer, k.Dense(2)] for name, layer in layers.items()}
    models["pictures"] = [keras.Input((2, 2)), k.Rescaling(1 / 255, -0.5), k.Flatten(), k.Dense(3)]
    for name, stack in models.items():
        model = keras.Sequential(stack)
        model(X.reshape(60, *model.input_shape[1:]))
        for layer in model.layers:  # biases and statistics that are not 0 and 1
            rng = np.random.default_rng(1)
            if name != "prelu":  # whose slopes are to be one number
                layer.set_weights([rng.uniform(0.25, 1.0, w.shape) for w in layer.get_weights()])
        model.export(folder / f"keras-{name}.onnx", format="onnx", verbose=False)
        stripped(folder / f"keras-{name}.onnx")


def scikit_learn_files(folder: Path) -> None:
    """The networks of scikit-learn, alone and after a scaler."""
    from skl2onnx import to_onnx
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    y = X @ [1, 2, 3, 4]
    size = {"hidden_layer_sizes": 3, "max_iter": 20, "random_state": 0}
    models = {
        "regressor": (MLPRegressor(**size), y),
        "two-targets": (MLPRegressor(**size), np.stack([y, -y], axis=1)),
        "two-classes": (MLPClassifier(**size), (y > 0).astype(int)),
        "three-classes": (MLPClassifier(**size), np.digitize(y, [-1, 1])),
        "text-classes": (MLPClassifier(**size), np.array(["a", "b", "c"])[np.digitize(y, [-1, 1])]),
        "standard": (make_pipeline(StandardScaler(), MLPClassifier(**size)), np.digitize(y, [-1, 1])),
        "minmax": (make_pipeline(MinMaxScaler(), MLPRegressor(**size)), y),
    }
    for name, (model, target) in models.items():
        model.fit(X, target)
        options = {id(model): {"zipmap": name == "text-classes"}} if hasattr(model, "predict_proba") else None
        written = to_onnx(model, X[:1], target_opset=17, options=options)
        (folder / f"sklearn-{name}.onnx").write_bytes(written.SerializeToString())


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(exist_ok=True)
    warnings.simplefilter("ignore")
    if "--no-torch" not in sys.argv:  # it takes minutes
        torch_files(target)
        torch_images(target)
    keras_files(target)
    keras_images(target)
    scikit_learn_files(target)
