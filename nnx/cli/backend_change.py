"""Says once that a run computes with another backend than the run before it, as what is installed changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nnx.backends import Backend, default_device
from nnx.errors import FileFormatError


def note(folder: Path, device: str | None, backend: Backend) -> str:
    """A sentence about the change, from the newest finished run in the same parent folder; empty without one.

    That run is how nnx knows: nothing is kept elsewhere, and the run that follows has this one before it.
    Runs that named a device say nothing of the default.
    """
    if (device or default_device()) != "auto":
        return ""
    before = _newest(folder.parent)
    if before is None:
        return ""
    path, result = before
    chosen = result.config.get("device") in (None, "auto")
    if not chosen or result.backend == backend.name:
        return ""
    return (
        f"this run computes with {backend.name} on {backend.device}, the newest run before it ({path}) with "
        f"{result.backend} on {result.device}: the default follows what is installed, and each rounds in its "
        f"own way; --device {result.backend} computes as before, where it is installed"
    )


def _newest(parent: Path) -> tuple[Path, Any] | None:
    from nnx.experiments.reading import read_run
    from nnx.experiments.result import RESULT_FILE

    try:
        written = [(path.stat().st_mtime, path) for path in parent.glob(f"*/{RESULT_FILE}")]
        path = max(written, default=(0.0, None))[1]
        return None if path is None else (path.parent, read_run(path.parent))
    except (OSError, FileFormatError):  # of others, or of another version: then nothing is known
        return None
