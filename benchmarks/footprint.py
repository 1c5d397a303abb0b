"""Measure the megabytes of a fresh virtual environment with nnx, and with each other framework.

Run by hand:  python benchmarks/footprint.py [--only NAME] [--torch SPEC] [--json PATH]

Each environment is created in a temporary folder, filled by pip from its configured index, measured, and
removed. ``pip install torch`` brings CUDA on Linux; to get a CPU build, name it with ``--torch``, or set
PIP_INDEX_URL to an index that has it. The size of an empty environment (Python's links, pip) is subtracted.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import common
import tables

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "nnx": str(ROOT), "nnx[fast]": f"{ROOT}[fast]",
    "nnx[experiments]": f"{ROOT}[experiments]", "torch": "torch",
    "tensorflow-cpu": "tensorflow-cpu", "jax": "jax",
    "nnx[estimators,fast]": f"{ROOT}[estimators,fast]", "scikit-learn": "scikit-learn",
    "pyod torch": "pyod torch",
}  # fmt: skip


def megabytes(folder: Path) -> float:
    """Return what the files of a folder take on disk, in units of 10⁶ bytes."""
    files = (path.lstat() for path in folder.rglob("*"))
    return sum(getattr(file, "st_blocks", -(-file.st_size // 512)) * 512 for file in files) / 1e6


def measured(package: str | None) -> tuple[float, str]:
    """Return the size of an environment with a package, and pip's warnings about missing extras."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "venv"
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        if package is None:
            return megabytes(folder), ""
        python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        command = [str(python), "-m", "pip", "install", "--no-cache-dir", "--quiet", *package.split()]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=common.ENVIRONMENT)
        if done.returncode:
            raise common.MissingError((done.stderr.strip().splitlines() or ["no message"])[-1])
        warnings = [line for line in done.stderr.splitlines() if "does not provide the extra" in line]
        return megabytes(folder), "; ".join(warnings)


@click.command()
@click.option("--only", type=click.Choice(list(PACKAGES)), multiple=True, help="One package, or several.")
@click.option("--torch", "torch_spec", default="torch", show_default=True, help="What pip installs as torch.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the results.")
def main(only: tuple[str, ...], torch_spec: str, json_path: Path | None) -> None:
    """Print a table."""
    bare, _ = measured(None)
    found = {}
    for name in only or PACKAGES:
        click.echo(f"installing {name} …", err=True)
        try:
            size, warnings = measured(PACKAGES[name].replace("torch", torch_spec))
        except common.MissingError as error:
            click.echo(f"left out: {name}: {error}")
            continue
        if warnings:
            click.echo(f"left out: {name}: {warnings}")
            continue
        found[name] = size - bare
    lines = [[name, f"{size:,.0f}"] for name, size in found.items()]
    click.echo(tables.table(["", "MB"], [["(an empty environment, subtracted)", f"{bare:,.0f}"], *lines]))
    common.write_json(json_path, "footprint", common.cores(), {"bare": bare} | found)


if __name__ == "__main__":
    main()
