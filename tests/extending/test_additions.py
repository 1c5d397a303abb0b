"""Add an activation, a loss, an optimizer or a layer: count the files, and check that it works.

Each is added to a copy of the package, and used there by another process: in `fit`, a gradient check, a file,
the command line and an estimator.
"""

from __future__ import annotations

import filecmp
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.copied import PACKAGE, copied

pytestmark = pytest.mark.slow


def replaced(path: Path, *changes: tuple[str, str]) -> None:
    """Edit a file: each old text must be there once."""
    text = path.read_text(encoding="utf-8")
    for old, new in changes:
        assert text.count(old) == 1, f"{path.name}: {old!r}"
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


# ------------------------------------------------------------------------------ an activation


def add_activation(package: Path) -> None:
    with (package / "ops" / "activations.py").open("a", encoding="utf-8") as file:
        file.write(
            """
ACTIVATIONS["softsign"] = Activation(
    forward=lambda ops, x, alpha: x / (1.0 + ops.xp.abs(x)),
    backward=lambda ops, dy, x, y, alpha: dy * (1.0 - ops.xp.abs(y)) ** 2,
)
"""
        )
    replaced(package / "layers" / "activations.py", ('    "ELU", "GELU",', '    "Softsign", "ELU", "GELU",'))
    with (package / "layers" / "activations.py").open("a", encoding="utf-8") as file:
        file.write(
            '''

class Softsign(Activation):
    """y = x / (1 + |x|)."""

    record = LayerRecord(
        names=("softsign",),
        keras=Counterpart("Activation", fixed={"activation": "softsign"}),
        onnx=Counterpart("Softsign"),
        initializer="glorot_uniform",
        elementwise=True,
        activation=True,
    )
    kind = "softsign"
'''
        )


ACTIVATION = """
check("Softsign()")
network = nnx.Network([nnx.Dense(4, 8, activation="softsign"), nnx.Dense(2), nnx.Softsign()], seed=0)
assert np.allclose(nnx.Softsign().forward(np.array([[-1.0, 3.0]])), [[-0.5, 0.75]])
fitted(network, nnx.MeanSquaredError(), nnx.Adam(0.01))
saved(network)
assert type(nnx.layers.get("softsign")) is nnx.Softsign
trained("--layers", "8 softsign,4,softsign")
estimated(activation="softsign")
"""

# ------------------------------------------------------------------------------------ a loss


def add_loss(package: Path) -> None:
    with (package / "ops" / "losses.py").open("a", encoding="utf-8") as file:
        file.write(
            '''

def _log_cosh(ops: Operations, y: Array, p: Array, parameter: float) -> tuple[Array, Array]:
    """ℓ = log cosh(p − y), gradient tanh(p − y)."""
    e = p - y
    size = ops.xp.abs(e)
    return ops.xp.sum(size + ops.xp.log1p(ops.xp.exp(-2.0 * size)) - math.log(2.0), axis=1), ops.xp.tanh(e)


LOSSES["log_cosh"] = RowLoss(_log_cosh)
'''
        )
    replaced(
        package / "losses" / "__init__.py",
        ("__all__ = [\n", '__all__ = [\n    "LogCosh",\n'),
        (
            "KINDS: tuple",
            '''class LogCosh(Loss):
    """L = mean over all elements of log cosh(p − y)."""

    record = LossRecord(
        names=("log_cosh",),
        estimators="log_cosh",
        command="log_cosh",
        tasks=("regression",),
        keras=Counterpart("LogCosh"),
    )
    kind = "log_cosh"
    estimates = True


KINDS: tuple''',
        ),
        ("MeanAbsoluteError, Huber,", "MeanAbsoluteError, Huber, LogCosh,"),
    )


LOSS = """
check("LogCosh()")
loss = nnx.losses.get("log_cosh")
assert abs(float(loss(np.zeros((1, 2)), np.full((1, 2), 1.0))) - np.log(np.cosh(1.0))) < 1e-12
network = nnx.Network([nnx.Dense(4, 8), nnx.Tanh(), nnx.Dense(2)], seed=0)
fitted(network, loss, nnx.Adam(0.01))
resumed(loss=nnx.losses.get("log_cosh"))
trained("--loss", "log_cosh")
estimated(loss="log_cosh")
"""

# ------------------------------------------------------------------------------- an optimizer


def add_optimizer(package: Path) -> None:
    replaced(
        package / "ops" / "updates.py",
        (
            "class Updates(",
            '''class SignStep(Rule):
    """Steps along the gradient's sign."""

    def sign_step(
        self, values: Array, gradients: Array, fault: Array, learning_rate: float,
        weight_decay: float = 0.0, l2: float = 0.0,
    ) -> Array:  # fmt: skip
        """w = w − η sign(g)."""
        shrunk = values * (1.0 - learning_rate * weight_decay)
        return self._commit(values, shrunk - learning_rate * self.xp.sign(gradients + l2 * values), fault)


class Updates(SignStep, ''',
        ),
    )
    replaced(
        package / "optimizers" / "__init__.py",
        ('__all__ = ["LBFGS",', '__all__ = ["SignDescent", "LBFGS",'),
        (
            "KINDS: tuple",
            '''class SignDescent(Optimizer):
    """w = w − η sign(g)."""

    record = OptimizerRecord(names=("sign",), keras="Keras has no such optimizer")

    def __init__(
        self, learning_rate: float | Schedule = 1e-3, *, weight_decay: float = 0.0, l2: float = 0.0,
        clip_norm: float | None = None, clip_value: float | None = None, groups: Groups | None = None,
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, weight_decay, l2, clip_norm, clip_value, groups)

    def update(
        self, backend: Backend, span: Span, fault: Array, learning_rate: float, step: int
    ) -> None:
        """See `sign_step`."""
        backend.sign_step(span.values, span.gradients, fault, learning_rate, self.weight_decay, self.l2)


KINDS: tuple''',
        ),
        ("Adagrad, LBFGS)", "Adagrad, LBFGS, SignDescent)"),
    )


OPTIMIZER = """
network = nnx.Network([nnx.Dense(4, 8), nnx.Tanh(), nnx.Dense(2)], seed=0)
fitted(network, nnx.MeanSquaredError(), nnx.optimizers.get("sign", learning_rate=0.002))
grouped = nnx.SignDescent(0.25, groups={"*.b": {"learning_rate": 0.5}})
before = network.weights()
for _, _, gradient in network.parameters():
    gradient[...] = -1.0
grouped.step(network)
after = network.weights()
assert np.allclose(after["dense_1.W"] - before["dense_1.W"], 0.25)
assert np.allclose(after["dense_1.b"] - before["dense_1.b"], 0.5)
resumed(optimizer=nnx.optimizers.get({"name": "sign", **grouped.config()}))
trained("--optimizer", "sign", "--weight-decay", "0.01")
estimated(optimizer="sign", learning_rate=0.002)
"""

# ------------------------------------------------------------------- a layer with parameters


def add_layer(package: Path) -> None:
    (package / "ops" / "left_slope.py").write_text(
        '''"""The rectifier whose slope on the left is trained."""

from __future__ import annotations

from nnx.ops.base import Array, Operations


def forward(ops: Operations, x: Array, slope: Array, y: Array) -> None:
    """y = x where x > 0, else slope x."""
    y[...] = ops.xp.where(x > 0.0, x, slope * x)


def backward(ops: Operations, dy: Array, x: Array, slope: Array, dslope: Array, dx: Array | None) -> None:
    """dslope = Σ_rows dy min(x, 0); dx = dy where x > 0, else slope dy."""
    dslope[...] = ops.xp.sum(dy * ops.xp.minimum(x, 0.0), axis=0)
    if dx is not None:
        dx[...] = ops.xp.where(x > 0.0, dy, slope * dy)
''',
        encoding="utf-8",
    )
    (package / "layers" / "left_slope.py").write_text(
        '''"""The rectifier whose slope on the left is trained."""

from __future__ import annotations

from typing import Any

from nnx.backends import Array
from nnx.layers.base import Layer
from nnx.layers.workspace import Workspace
from nnx.ops import left_slope
from nnx.parameters import Shapes
from nnx.records import LayerRecord

__all__ = ["LeftSlope"]


class LeftSlope(Layer):
    """y = x where x > 0, else slope x, one slope for each feature."""

    record = LayerRecord(
        names=("left_slope",),
        keras="nnx does not convert it",
        onnx="nnx does not write it",
        activation=True,
    )
    slope: Array
    dslope: Array

    def parameter_shapes(self) -> Shapes:
        """The slopes."""
        assert self.inputs is not None
        return {"slope": (self.inputs,)}

    def initial_values(self, generator: Any) -> dict[str, Any]:
        """A quarter."""
        assert self.inputs is not None
        return {"slope": 0.25 + 0.0 * generator.standard_normal(self.inputs)}

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Rectify."""
        left_slope.forward(workspace.backend, x, self.slope, y)

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Of the slopes and of x."""
        left_slope.backward(workspace.backend, dy, workspace.x, self.slope, self.dslope, dx)
''',
        encoding="utf-8",
    )
    replaced(
        package / "layers" / "__init__.py",
        ("    rescale,\n", "    left_slope,\n    rescale,\n"),
        (
            "from nnx.layers.rescale import *\n",
            "from nnx.layers.left_slope import *\nfrom nnx.layers.rescale import *\n",
        ),
        ("__all__ += rescale.__all__\n", "__all__ += left_slope.__all__\n__all__ += rescale.__all__\n"),
    )


LAYER = """
check("LeftSlope()")
network = nnx.Network([nnx.Dense(4, 8), nnx.LeftSlope(), nnx.Dense(2)], seed=0)
fitted(network, nnx.MeanSquaredError(), nnx.Adam(0.01, groups={"leftslope_1.*": {"weight_decay": 0.1}}))
assert not np.allclose(network.weights()["leftslope_1.slope"], 0.25)
saved(network)
assert type(nnx.layers.get("left_slope")) is nnx.LeftSlope
trained("--layers", "8 left_slope,left_slope")
estimated(activation="left_slope")
"""

# --------------------------------------------------------------------------------- the proof

HELPERS = """
import subprocess, sys
from pathlib import Path
import numpy as np
import nnx
from nnx import estimators, gradcheck

assert Path(nnx.__file__).parent == Path(sys.argv[1]), nnx.__file__
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 4)); Y = np.tanh(X[:, :2] - X[:, 2:])

def check(name):
    cases = [case for case in gradcheck.CASES if case.name.startswith(name)]
    assert cases, [case.name for case in gradcheck.CASES]
    for device in ("numpy", "cpu"):
        for case in cases:
            report = case.check(nnx.resolve(device))
            assert report.passed, report.message

def fitted(network, loss, optimizer):
    history = network.fit(X, Y, loss=loss, optimizer=optimizer, epochs=30, batch_size=10)
    assert history["loss"][-1] < 0.6 * history["loss"][0], history["loss"]

def saved(network):
    network.save("model.safetensors")
    assert nnx.load("model.safetensors").predict(X).tobytes() == network.predict(X).tobytes()

def resumed(loss=None, optimizer=None):
    def run(epochs, **options):
        network = nnx.Network([nnx.Dense(4, 2)], seed=0)
        network.fit(X, Y, loss=loss or nnx.MeanSquaredError(), optimizer=optimizer or nnx.SGD(),
                    batch_size=10, epochs=epochs, **options)
        return network.predict(X)
    whole = run(3)
    run(2, checkpoint=nnx.Checkpoint("kept", every=2))
    assert run(3, checkpoint=nnx.Checkpoint("kept", resume=True)).tobytes() == whole.tobytes()

def trained(*options):
    table = np.hstack([X, Y[:, :1]])
    np.savetxt("t.csv", table, delimiter=",", header="a,b,c,d,y", comments="")
    line = ["train", "t.csv", "--target", "y", "--task", "regression", "--epochs", "2", "--out", "run", "-q"]
    subprocess.run([sys.executable, "-m", "nnx", *line, *options], check=True)
    assert Path("run/model.safetensors").exists()

def estimated(**options):
    given = {"learning_rate": 0.01} | options
    model = estimators.NetworkRegressor(8, epochs=60, batch_size=10, random_state=0, **given)
    assert model.fit(X, Y[:, 0]).score(X, Y[:, 0]) > 0.3
"""


@pytest.mark.parametrize(
    ("add", "use", "files"),
    [
        pytest.param(add_activation, ACTIVATION, 2, id="an activation"),
        pytest.param(add_loss, LOSS, 2, id="a loss"),
        pytest.param(add_optimizer, OPTIMIZER, 2, id="an optimizer"),
        pytest.param(add_layer, LAYER, 3, id="a layer with parameters"),
    ],
)
def test_adding_takes_so_many_files_and_works_everywhere(tmp_path: Path, add, use: str, files: int) -> None:
    package = copied(tmp_path / "copy")
    add(package)
    changed = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if not (PACKAGE / path.relative_to(package)).exists()
        or not filecmp.cmp(path, PACKAGE / path.relative_to(package), shallow=False)
    ]
    assert len(changed) == files, changed
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", HELPERS + use, str(package)],
        cwd=tmp_path, capture_output=True, text=True, timeout=240,
        env=os.environ | {"PYTHONPATH": str(package.parent), "NNX_DEVICE": "cpu"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
