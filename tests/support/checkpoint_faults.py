"""Checkpoints that are damaged, and folders and disks that fail."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import nnx
from nnx import model_files


def meaning(path: Path) -> str:
    """All that a checkpoint says; the error's name where it is refused."""
    try:
        weights, training, counts = model_files.read_training(path)
    except nnx.FileFormatError:
        return "refused"
    return repr((sorted((n, v.dtype, v.tolist()) for n, v in (weights | training).items()), counts))


def write_large(folder: Path) -> Path:
    """A checkpoint of half a megabyte."""
    made = nnx.Network([nnx.Dense(200, 200)], seed=0, device="numpy")
    x = np.ones((2, 200))
    made.fit(
        x,
        x,
        loss=nnx.MeanSquaredError(),
        optimizer=nnx.Adam(),
        batch_size=2,
        checkpoint=nnx.Checkpoint(folder),
    )
    return folder / "fit-1-step-1.safetensors"


def damage(path: Path, times: int, seed: int) -> int:
    """Overwrite a byte at random places, one after another; how often that was not noticed."""
    rng, unnoticed = np.random.default_rng(seed), 0
    whole = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        for place, change in zip(
            rng.integers(0, len(whole), times), rng.integers(1, 256, times), strict=True
        ):
            os.pwrite(file.fileno(), bytes([whole[place] ^ int(change)]), int(place))
            unnoticed += meaning(path) != "refused"
            os.pwrite(file.fileno(), whole[place : place + 1], int(place))
    assert path.read_bytes() == whole
    return unnoticed


class At(nnx.Callback):
    def __init__(self, step, what):
        self.step, self.what = step, what

    def on_step_end(self, run):
        if run.step == self.step:
            self.what()


@contextlib.contextmanager
def small_disk(place: Path, size: str):
    """A file system of its own in memory; skips where it cannot be had."""
    place.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], capture_output=True, check=False
    )
    if not made or made.returncode:
        pytest.skip("no file system can be mounted here: that needs root")
    try:
        yield lambda size: subprocess.run([mount, "-o", f"remount,size={size}", place], check=True)
    finally:
        subprocess.run(["umount", place], check=True)
