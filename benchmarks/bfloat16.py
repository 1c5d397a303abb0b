"""Compare the test error of networks trained with bfloat16 and with float32: the autoencoder's presets.

Run by hand:  NNX_DATA_DIR=… python benchmarks/bfloat16.py runs/bfloat16 [--preset best] [--seed 0 …]

Each training is a run of ``nnx run autoencoder`` in its own folder. A finished one is not repeated, and a
stopped one is resumed, so you can run this in pieces. With ``--device numpy``, bfloat16 is computed by
rounding, on any processor.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
from common import headline

from nnx.backends.threads import cores
from nnx.experiments import RunFolder
from nnx.experiments.autoencoder_presets import PRESETS
from nnx.experiments.result import read_run

PRECISIONS = ("float32", "bfloat16")


def trained(folder: Path, preset: str, seed: int, precision: str, options: list[str]) -> float:
    """Train unless it is done; return the test MSE per pixel."""
    run = folder / f"{preset}-{seed}-{precision}"
    if not RunFolder.finished(run):
        command = [
            sys.executable,
            "-m",
            "nnx",
            "run",
            "autoencoder",
            "--dataset",
            "mnist",
            "--preset",
            preset,
        ]
        command += ["--seed", str(seed), "--precision", precision, "--checkpoint-every", "30s", *options]
        subprocess.run([*command, "--out", str(run), *(["--resume"] if run.exists() else [])], check=True)
    return float(read_run(run).metrics["test_mse"])


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--preset", type=click.Choice(list(PRESETS)), default="deep", show_default=True)
@click.option("--seed", "seeds", type=int, multiple=True, default=(0, 1, 2), show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--threads", type=click.IntRange(1), default=cores(), help="Default: all cores.")
def main(folder: Path, preset: str, seeds: tuple[int, ...], device: str, threads: int) -> None:
    """Print the test MSE of each seed, and the ratio of bfloat16 to float32."""
    headline(threads)
    click.echo(f"{preset}: test MSE per pixel\n{'seed':>4}  {'float32':>9}  {'bfloat16':>9}  ratio")
    options = ["--device", device, "--threads", str(threads), "--quiet"]
    for seed in seeds:
        exact, rounded = (trained(folder, preset, seed, precision, options) for precision in PRECISIONS)
        click.echo(f"{seed:>4}  {exact:9.6f}  {rounded:9.6f}  {rounded / exact:.3f}")


if __name__ == "__main__":
    main()
