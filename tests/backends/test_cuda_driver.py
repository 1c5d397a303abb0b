"""The NVIDIA driver decides which CuPy the advice names."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnx.backends import cuda_driver


@pytest.mark.parametrize(
    ("driver", "wheel", "told"),
    [
        (None, None, "580 or newer, 'cupy-cuda12x[ctk]' for an older one"),
        (11080, None, "which supports CUDA 11.8 at most, is updated to 580 or newer"),
        (12000, "cupy-cuda12x[ctk]", "pip install 'cupy-cuda12x[ctk]'"),
        (12090, "cupy-cuda12x[ctk]", "pip install 'cupy-cuda12x[ctk]'"),
        (13000, "cupy-cuda13x[ctk]", "pip install 'cupy-cuda13x[ctk]'"),
        (14010, "cupy-cuda13x[ctk]", "pip install 'cupy-cuda13x[ctk]'"),
    ],
)
def test_the_driver_decides_which_cupy(driver: int | None, wheel: str | None, told: str) -> None:
    assert cuda_driver.wheel_for(driver) == wheel
    advice = cuda_driver.install_advice(driver)
    assert advice.startswith("pip install 'cupy-cuda")
    assert told in advice


def test_a_machine_without_a_driver_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_driver, "LIBRARY", "libnosuchlibrary.so.1")
    cuda_driver.driver_version.cache_clear()
    try:
        found = cuda_driver.driver()
        assert (found.cuda, found.wheel) == (None, None)
        assert cuda_driver.install_advice(None).startswith(
            "pip install 'cupy-cuda13x[ctk]' for an NVIDIA driver of version 580"
        )
    finally:
        cuda_driver.driver_version.cache_clear()


def test_a_driver_is_enough_for_advice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cuda_driver, "PCI_DEVICES", tmp_path / "absent")
    monkeypatch.setattr(cuda_driver, "driver_version", lambda: 13000)
    assert cuda_driver.driver().install == "pip install 'cupy-cuda13x[ctk]'"
