"""Define ``nnx export``: write a trained network as a file for other programs."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import click

from nnx.cli import options
from nnx.cli.console import say
from nnx.errors import ConfigurationError, NnxError, OutputError

FORMATS = {"onnx": (".onnx",), "keras": (".keras",)}
# the endings of `nnx.standalone`, which is loaded late
CODE = {"c": (".c", ".h"), "python": (".py",), "javascript": (".mjs", ".js")}
TRIED = 256  # rows to compare the file with the network
MAX_BYTES = 2**26  # largest data file that is opened to take rows from
MOST = 1e-3  # allowed difference, as a share of an output's spread: float32 rounding is smaller
ROUNDINGS = 16.0  # additional allowed difference, in units of nnx's own rounding error


@click.command(short_help="Write a network for other programs, or as plain code.")
@click.argument("model", type=options.Existing())
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The file to write.  [default: MODEL's name, in this folder]",
)
@click.option(
    "--to",
    "form",
    type=options.Name((*FORMATS, *CODE)),
    metavar="FORM",
    help=f"{', '.join((*FORMATS, *CODE))}.  [default: what the ending of FILE says]",
)
@click.option("--type", "real", type=options.Name(("float", "double")), metavar="TYPE",
              help="Type of the numbers in C: float or double.  [default: the network's]")  # fmt: skip
@click.option("--numpy", is_flag=True, help="Write Python that computes with NumPy.")
def export(model: Path, out: Path | None, form: str | None, real: str | None, numpy: bool) -> None:
    """Write MODEL, a run's folder or a .safetensors file, for other programs.

    It becomes an ONNX or Keras file, or one file of C, Python or JavaScript code that runs without nnx. If
    nnx train made the model, the file includes its scaling, and takes rows as they are in your data files. If
    the scaling subtracts, it is computed in float64, and the file takes float64 rows.

    Before an ONNX, Keras or Python file is saved, it is compared with nnx predict on rows of the training
    data, if they still exist, and the largest difference is printed; JavaScript too, if Node.js is installed.
    A file of code contains such rows, to check itself.

    \b
    Examples:
      nnx export runs/NAME --out model.onnx
      nnx export model.safetensors --out model.keras
      nnx export runs/NAME --to c
      nnx export runs/NAME --to python --numpy
    """
    from nnx.checkpoints import read_metadata
    from nnx.cli import export_code
    from nnx.experiments.result import model_path
    from nnx.experiments.train.preparation import Preparation
    from nnx.interop.onnx import IN_FLOAT32
    from nnx.network import load

    form, out = _target(model, out, form)
    if real is not None and form != "c":
        raise ConfigurationError(f"--type {real} is for C code, not for {form}: remove it")
    if numpy and form != "python":
        raise ConfigurationError(f"--numpy is for Python code, not for {form}: remove it")
    path = model_path(model)
    network = load(path, device="numpy")  # which computes with every precision
    if form != "keras" and network.precision == "bfloat16":
        network = _twin(network, "float32")
        say(f"note: {IN_FLOAT32}; the file is compared with nnx predict in float32")
    metadata = read_metadata(path)
    prepared = Preparation.of_model(path, metadata, network)
    if prepared is not None and prepared.layout.table is not None:
        raise ConfigurationError(
            f"{model} was trained with --preset tabular: other programs cannot encode its categories, dates "
            "and empty cells; apply it with nnx predict"
        )
    if form in CODE:
        x, _ = _rows(network, prepared, metadata)
        given = {"type": real} if real is not None else {"numpy": True} if numpy else {}
        compared = export_code.write(network, prepared, x, out, form, str(model), **given)
    else:
        compared = _exchange(form, network, prepared, metadata, out, model)
    say(f"{out}: {len(network)} layers, {network.parameter_count():,} parameters")
    say(compared)


def _target(model: Path, out: Path | None, form: str | None) -> tuple[str, Path]:
    """Return the form of the file and its path, from what the user gave of the two.

    Raises
    ------
    ConfigurationError
        If the two do not fit, or neither says the form.
    """
    if out is None:
        if form is None:
            raise ConfigurationError("give the file to write, --out model.onnx, or its form, --to c")
        name = model.resolve()
        out = Path(f"{name.name if name.is_dir() else name.stem}{(FORMATS | CODE)[form][0]}")
        if out.exists():
            raise ConfigurationError(f"{out} exists already: to replace it, add --out {out}")
        return form, out
    endings = {ending: one for one, known in (FORMATS | CODE).items() for ending in known}
    found = endings.get(out.suffix.lower())
    if form is None and found is None:
        raise ConfigurationError(f"--out {out}: the name must end in {' or '.join(endings)}")
    if form is not None and found != form:
        known = " or ".join((FORMATS | CODE)[form])
        raise ConfigurationError(f"--out {out} --to {form}: the name must end in {known}")
    return found or "", out


def _exchange(
    form: str, network: Any, prepared: Any, metadata: dict[str, Any], out: Path, model: Path
) -> str:
    """Write an ONNX or Keras file, compared with nnx; return a sentence with the largest difference."""
    from nnx.files import make_folder, replacing
    from nnx.interop import keras, onnx

    writer = {"onnx": onnx, "keras": keras}[form]
    if prepared is not None and prepared.several:
        raise ConfigurationError(
            f"{model} has {len(prepared.several)} numbers for each target, which nnx predict brings to the "
            "units of the data: apply it with nnx predict, or write code with --to c"
        )
    make_folder(out.parent)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / f"model{out.suffix.lower()}"
        inputs = None if prepared is None else prepared.inputs
        last = None if prepared is None else inputs if prepared.task == "autoencoding" else prepared.outputs
        writer.export(network, written, inputs=inputs, outputs=last)
        compared = _compare(writer, written, network, prepared, metadata)
        with replacing(out) as file, written.open("rb") as made:
            shutil.copyfileobj(made, file)
    return compared


def _compare(writer: Any, written: Path, network: Any, prepared: Any, metadata: dict[str, Any]) -> str:
    """Compute some rows with the file and with nnx; return a sentence with the largest difference.

    Raises
    ------
    OutputError
        If the differences are larger than rounding: the file computes another model.
    """
    import numpy as np

    from nnx.layers.stack import takes_integers

    x, origin = _rows(network, prepared, metadata)

    def predict(model: Any) -> Any:
        return model.predict(x) if prepared is None else prepared.predict(model, x)

    own = predict(network)
    subtracts = prepared is not None and prepared.inputs.shift.any()
    given = np.int64 if takes_integers(network.layers) else np.float64 if subtracts else network.dtype
    theirs, program = writer.compute(written, x.astype(given))
    own = own.reshape(len(own), -1)  # outputs of several axes, number by number
    difference = np.abs(np.asarray(theirs, np.float64).reshape(own.shape) - own).max(axis=0)
    spread = np.abs(own - np.mean(own, axis=0, dtype=np.float64)).max(axis=0)
    # an output that hardly varies may vary only by rounding
    rounding = np.abs(own - predict(_twin(network, "float64")).reshape(own.shape)).max(axis=0)
    rounding += np.finfo(network.dtype).eps * np.abs(own).max(axis=0)
    excess = difference - (MOST * spread + ROUNDINGS * rounding)
    if not (excess <= 0.0).all():
        worst = int(np.argmax(excess / np.maximum(spread, np.finfo(np.float64).tiny)))
        raise OutputError(
            f"not written: {program} does not compute the same as nnx predict; on {origin}, output "
            f"{worst + 1} differs by up to {difference[worst]:.2g}, while it stays within "
            f"{spread[worst]:.2g} of its mean"
        )
    return f"largest difference to nnx predict on {origin}: {difference.max():.2g} (computed by {program})"


def _twin(network: Any, precision: str) -> Any:
    """Return the same network with another precision."""
    twin = type(network).from_config(network.config() | {"dtype": precision}, network.backend, draw=False)
    twin.set_weights(network.weights())
    return twin


def _rows(network: Any, prepared: Any, metadata: dict[str, Any]) -> tuple[Any, str]:
    """Return rows as they are in the user's data, and a description of them."""
    import numpy as np

    from nnx.experiments.train.labelled import load_inputs
    from nnx.layers.integers import limits

    data = Path(str(metadata.get("dataset", "")))
    if prepared is not None and data.is_file() and data.stat().st_size <= MAX_BYTES:
        try:
            x, _ = load_inputs(data, prepared.layout)
            x = x[:: max(1, len(x) // TRIED)][:TRIED]
            return np.asarray(x), f"{len(x)} rows of {data}"
        except NnxError:
            pass  # the file has changed since the training
    generator, shape = np.random.default_rng(0), (TRIED, *network.input_shape)
    if whole := limits(network.layers):
        return generator.integers(0, whole.limit or TRIED, shape), f"{TRIED} rows drawn at random"
    z = generator.standard_normal(shape)
    x = z if prepared is None else z * prepared.inputs.scale + prepared.inputs.shift
    return x, f"{TRIED} rows drawn at random"
