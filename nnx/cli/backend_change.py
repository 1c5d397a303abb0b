"""Report if a run uses another backend than the run before it, because other libraries are installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nnx.backends import Backend, default_device
from nnx.errors import FileFormatError


def note(folder: Path, device: str | None, backend: Backend) -> str:
    """Return a sentence if the newest finished run in the same parent folder used another backend, else "".

    The sentence appears once, because the next run is compared with this one. Runs with an explicit device
    are not compared.
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
        f"this run uses {backend.name} on {backend.device}, but the run before it ({path}) used "
        f"{result.backend} on {result.device}: the default device depends on what is installed, and backends "
        f"round differently; for the same backend as before, install it and use --device {result.backend}"
    )


def _newest(parent: Path) -> tuple[Path, Any] | None:
    from nnx.experiments.result import RESULT_FILE, read_run

    try:
        written = [(path.stat().st_mtime, path) for path in parent.glob(f"*/{RESULT_FILE}")]
        path = max(written, default=(0.0, None))[1]
        return None if path is None else (path.parent, read_run(path.parent))
    except (OSError, FileFormatError):  # not a run, or one of another version
        return None
