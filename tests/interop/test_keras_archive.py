"""A damaged or hostile Keras file is refused in one line, before Keras builds anything from it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from support.keras_twins import saved

import nnx
from nnx.interop import keras as exchange

pytestmark = [
    pytest.mark.keras,
    pytest.mark.usefixtures("on_cpu"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy"),  # Keras of its own
]

D = nnx.Dense


def rewritten(source: Path, target: Path, change: Any) -> Path:
    """A copy of a ``.keras`` file whose description `change` has changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                described = json.loads(content)
                content = json.dumps(change(described) or described).encode()
            new.writestr(name, content)
    return target


def test_a_damaged_or_hostile_file_is_refused_in_one_line(keras, tmp_path: Path):
    good = saved(tmp_path / "good.keras")
    content = good.read_bytes()

    def layer(position: int, **entries: Any) -> Any:
        return lambda described: described["config"]["layers"][position].update(entries)

    def option(position: int, **entries: Any) -> Any:
        return lambda described: described["config"]["layers"][position]["config"].update(entries)

    def changed(name: str, change: Any) -> Path:
        return rewritten(good, tmp_path / f"{name}.keras", change)

    function = {"module": "nowhere", "class_name": "function", "config": "system", "registered_name": "own>f"}
    files = {
        "is not a zip file": tmp_path / "text.keras",
        "BadZipFile": tmp_path / "short.keras",
        "no model file": tmp_path / "missing.keras",
        "must end in .keras": tmp_path / "model.pt",
        "old format, HDF5: convert it by keras.saving.load_model": tmp_path / "model.h5",
        "hidden.keras has Keras's old format": tmp_path / "hidden.keras",
        "unpacks to": tmp_path / "bomb.keras",
        "layer dense_1 (Lambda): nnx has no such layer": changed("lambda", layer(1, class_name="Lambda")),
        "layer dense_1 (Dense): nnx has no such layer": changed("foreign", layer(1, module="os")),
        "model of class Popen": changed("class", lambda d: d.update(class_name="Popen")),
        "5,000,000,000 numbers": changed("huge", option(1, units=10**9)),
        "TypeError": changed("wordy", option(1, units="many")),
        "KeyError: 'config'": changed("empty", lambda d: {"class_name": "Sequential"}),
        "TypeError: list": changed("list", lambda d: ["Sequential"]),
        "function.keras": changed("function", option(1, activation=function)),
    }
    (tmp_path / "text.keras").write_text("not a model")
    (tmp_path / "hidden.keras").write_bytes(b"\x89HDF\r\n\x1a\n")
    (tmp_path / "short.keras").write_bytes(content[:-200])
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("config.json", "{}")
        bomb.writestr("model.weights.h5", bytes(2**26))
    for text, path in files.items():
        with pytest.raises(nnx.FileFormatError) as caught:
            exchange.load(path)
        assert text in str(caught.value)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_small_keras_file_cannot_ask_for_much_memory(keras, tmp_path: Path):
    network = nnx.Network([nnx.Concatenate([[], []]), D(2)]).build(4)
    nnx.interop.keras.export(network, tmp_path / "good.keras")

    def change(described: dict[str, Any]) -> None:
        described["config"]["layers"][0]["config"]["batch_shape"] = [None, 10**9]

    with zipfile.ZipFile(tmp_path / "good.keras") as old, zipfile.ZipFile(tmp_path / "bad.keras", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                described = json.loads(content)
                change(described)
                content = json.dumps(described).encode()
            new.writestr(name, content)
    with pytest.raises(nnx.FileFormatError, match="4,000,000,000 numbers"):
        nnx.interop.keras.load(tmp_path / "bad.keras")
