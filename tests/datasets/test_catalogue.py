"""A name loads its data set; the digits replace MNIST only if the user asked for "auto" and is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nnx.datasets import DatasetUnavailableError, list_datasets, load, load_mnist, verify_mnist
from nnx.errors import ConfigurationError


def test_absent_mnist_is_said_plainly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    monkeypatch.setenv("NNX_DATA_DIR", str(tmp_path / "nothing"))
    with pytest.raises(DatasetUnavailableError) as caught:
        load("mnist")
    for part in (str(tmp_path / "nothing"), str(tmp_path / "cache"), "NNX_OFFLINE", "NNX_DATA_DIR"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [status.state for status in verify_mnist()] == ["missing"] * 4
    assert "not found" in verify_mnist()[0].problem
    assert [status.available for status in list_datasets()] == [False, True, True]


def test_unknown_names_and_types_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"'mnits': did you mean 'mnist'\?"):
        load("mnits")
    with pytest.raises(ConfigurationError, match="did you mean"):
        load("")
    for name in ("auto", "digits", "xor"):
        with pytest.raises(ConfigurationError, match="'uint8'"):
            load(name, dtype="uint8")
    for dtype in ("float16", "nonsense", None):
        with pytest.raises(ConfigurationError, match="choose float32, float64"):
            load_mnist(dtype=dtype)


def test_auto_takes_mnist_where_a_mirror_answers_and_the_digits_where_none_does(
    mirrors: Callable[..., None], cache: Path
) -> None:
    mirrors("absent")
    said: list[str] = []
    assert load("auto", on_fallback=said.append).name == "digits"
    assert len(said) == 1
    assert "digits instead of MNIST" in said[0]
    assert "HTTP 404" in said[0]
    with pytest.warns(UserWarning, match="digits instead of MNIST"):
        load("auto")
    with pytest.raises(DatasetUnavailableError):
        load("mnist")
    mirrors("good")
    assert load("auto", on_fallback=said.append).name == "mnist"
    assert len(said) == 1
