"""Compare a training step of nnx with other frameworks, and with its bare matrix products.

Run by hand:  NNX_DATA_DIR=… python benchmarks/step.py [--only NAME] [--row TEXT] [--json PATH]

Each framework trains in a separate process, with the same initial weights, batches, order, float32 and
threads. All but scikit-learn (which slices) gather the rows of each batch by number, as shuffled training
must. nnx trains with `Network.fit` and everything it does, and in one row with the loop that the README
writes by hand, which also takes the loss of each step; the others have the shortest loop that their users
write. For cross-entropies, all use the fused form that starts from logits, as nnx's `fit` does.

The mean loss of the first ten steps must agree closely, and the loss of the last turn roughly: float32 runs
that differ only in rounding drift apart. The rows with bfloat16 round the factors of their products, so their
losses are not compared.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
import common
import jobs
import tables
from common import Row

JOBS = {"deep": jobs.DEEP, "shallow": jobs.SHALLOW, "classifier": jobs.CLASSIFIER, "wide": jobs.WIDE}
ROWS = [
    Row("nnx, numpy", "nnx", "numpy", "nnx"),
    Row("nnx, numba", "nnx", "numba", "nnx"),
    Row("nnx loop by hand, numba", "nnx", "numba-loop", "nnx"),
    Row("PyTorch", "torch", "eager"),
    Row("PyTorch, compiled", "torch", "compiled"),
    Row("JAX", "jax", "step"),
    Row("Keras", "keras", "graph"),
    Row("Keras, XLA", "keras", "xla"),
]
ROWS += [
    Row(f"{name}, bfloat16", worker, variant, "bfloat16", other_loss="bfloat16", precision="bfloat16")
    for name, worker, variant in (
        ("nnx, numba", "nnx", "numba"), ("PyTorch, autocast", "torch", "eager"), ("JAX", "jax", "step"),
        ("Keras, mixed", "keras", "graph"),
    )
]  # fmt: skip
SKLEARN = Row("scikit-learn", "sklearn")


def rows_of(name: str) -> list[Row]:
    """Return the rows of a job; scikit-learn has no sigmoid before its losses, except for binary targets."""
    names = {"numpy": "NumPy's BLAS", "openblas": "nnx's OpenBLAS", "mkl": "MKL"}
    products = [Row(f"bare products, {names[one]}", "products", one, "products") for one in names]
    products += [avx512] if (avx512 := common.avx512_products()) else []
    return [*products, *ROWS, *([SKLEARN] if name in ("classifier", "wide") else [])]


@click.command()
@click.option("--only", type=click.Choice(list(JOBS)), multiple=True, help="One job, or several.")
@click.option("--row", default="", help="Only rows with this text in their name, and the products.")
@click.option("--steps", type=click.IntRange(1), default=None, help="Steps in a turn; default: the job's.")
@common.options(rounds=15)
def main(
    only: tuple[str, ...], row: str, steps: int | None, rounds: int, threads: int, json_path: Path | None
) -> None:
    """Print a table for each job."""
    common.headline(threads)
    found = {}
    for name in only or JOBS:
        job = JOBS[name].sized(steps)
        rows = [one for one in rows_of(name) if one.kind == "products" or row.lower() in one.name.lower()]
        results, whose = common.measure(job, rows, rounds, threads)
        click.echo(f"\n{job.name} {'-'.join(map(str, job.widths))}, batch {job.batch}, {job.loss}, {whose}")
        tables.report(job, results)
        if name in ("deep", "shallow"):
            click.echo(
                "  scikit-learn: not the same job: it has no sigmoid output for targets between 0 and 1"
            )
        found[name] = [asdict(one) for one in results]
    common.write_json(json_path, "step", threads, found)


if __name__ == "__main__":
    main()
