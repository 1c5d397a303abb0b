"""List what to carry to a machine with a GPU and no network: wheels, and MNIST; fetch the wheels.

Run it:  NNX_DATA_DIR=… python benchmarks/gpu/wheels.py --to wheels

The wheels are those of the dependency group `carried` in pyproject.toml: what nnx and its tests need, and the
group `machine` does not have. All are pure Python, so they fit every machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[2]
MOST = 40e6  # bytes, with MNIST


def needed(group: str) -> list[str]:
    """Return the requirements of a dependency group."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        found: list[str] = tomllib.load(file)["dependency-groups"][group]
    return found


def fetch(folder: Path) -> list[Path]:
    """Download the wheels."""
    options = (
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--python-version",
        "3.12",
        "--dest",
        str(folder),
    )
    subprocess.run([sys.executable, "-m", "pip", "download", *options, *needed("carried")], check=True)
    return sorted(folder.glob("*.whl"))


def mnist() -> list[Path]:
    """Return MNIST's four files in NNX_DATA_DIR."""
    named = os.environ.get("NNX_DATA_DIR")
    return sorted(Path(named).rglob("*-ubyte.gz")) if named else []


@click.command()
@click.option("--to", "folder", type=click.Path(path_type=Path), default=Path("wheels"), show_default=True)
def main(folder: Path) -> None:
    """Fetch the wheels, and print all files with their sizes; status 1 if they are too large."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [*fetch(folder), *mnist()]
    total = sum(file.stat().st_size for file in files)
    for name, size in [*((file.name, file.stat().st_size) for file in files), ("together", total)]:
        click.echo(f"{size / 1e6:7.2f} MB  {name}")
    if total >= MOST:
        raise click.ClickException(f"more than {MOST / 1e6:.0f} MB: leave something out")


if __name__ == "__main__":
    main()
