"""Time the inference of an exported C file, and its bare matrix products.

Run by hand:  python benchmarks/standalone.py [--widths 64-32-10] [--flags "-O2"] [--rounds 200]

The products are two: plain loops over inputs and units, which a C programmer would write, with sizes that the
compiler knows; and the file's own function for products. Both have neither bias, activation, softmax nor a
check of the row. In each round, each computes 1,000 rows; the smallest time of all rounds counts, because
other programs can only make a round slower.
"""

from __future__ import annotations

import subprocess
import tempfile
from itertools import pairwise
from pathlib import Path

import click
import tables

import nnx

HARNESS = """
#include "model.c"
#include <stdio.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

@functions@

__attribute__((noinline)) static void whole(const real *x, real *y)
{
    static real memory[MODEL_MEMORY];
    model_predict_in(x, y, memory);
}

int main(void)
{
    static real x[MODEL_INPUTS], y[MODEL_OUTPUTS];
    double least[3] = {1e9, 1e9, 1e9};
    for (int i = 0; i < MODEL_INPUTS; i++)
        x[i] = (real)0.01 * (real)i;
    for (int round = 0; round < @rounds@; round++)
        for (int which = 0; which < 3; which++) {
            const double began = now();
            for (int row = 0; row < 1000; row++) {
                if (which == 0)
                    whole(x, y);
                else if (which == 1)
                    plain(x, y);
                else
                    own(x, y);
                __asm__ volatile("" : : "g"(y), "g"(x) : "memory"); /* every row is computed */
            }
            const double seconds = now() - began;
            least[which] = seconds < least[which] ? seconds : least[which];
        }
    printf("%g %g %g", least[0], least[1], least[2]);
    return 0;
}
"""
PLAIN = """
    for (int j = 0; j < {units}; j++)
        h{after}[j] = 0;
    for (int i = 0; i < {inputs}; i++)
        for (int j = 0; j < {units}; j++)
            h{after}[j] += h{before}[i] * dense_{after}_W[i * {units} + j];"""
OWN = """
    for (int j = 0; j < {units}; j++)
        h{after}[j] = 0;
    products(h{before}, dense_{after}_W, {inputs}, {units}, h{after}, {units});"""


def functions(widths: list[int]) -> str:
    """Return the C functions that compute the products alone."""
    texts = []
    for name, text in (("plain", PLAIN), ("own", OWN)):
        arrays = "".join(f"\n    static real h{place}[{size}];" for place, size in enumerate(widths[1:-1], 1))
        last = len(widths) - 1
        body = "".join(
            text.format(inputs=inputs, units=units, before=place, after=place + 1)
            for place, (inputs, units) in enumerate(pairwise(widths))
        )
        texts.append(
            f"__attribute__((noinline)) static void {name}(const real *restrict h0, real *restrict h{last})\n"
            f"{{{arrays}{body}\n}}\n"
        )
    return "\n".join(texts)


def measured(widths: list[int], real: str, flags: str, rounds: int) -> list[float]:
    """Return the seconds of a row: inference, plain products, the file's own products."""
    layers = [layer for width in widths[1:-1] for layer in (nnx.Dense(width), nnx.ReLU())]
    network = nnx.Network([*layers, nnx.Dense(widths[-1]), nnx.Softmax()], seed=0).build(widths[0])
    with tempfile.TemporaryDirectory() as folder:
        nnx.standalone.export(network, Path(folder) / "model.c", type=real)
        harness = HARNESS.replace("@functions@", functions(widths)).replace("@rounds@", str(rounds))
        (Path(folder) / "harness.c").write_text(harness, encoding="ascii")
        subprocess.run(
            ["gcc", "-std=gnu99", *flags.split(), "harness.c", "-o", "harness", "-lm"], cwd=folder, check=True
        )
        done = subprocess.run([Path(folder) / "harness"], capture_output=True, text=True, check=True)
    return [float(seconds) / 1000 for seconds in done.stdout.split()]


@click.command()
@click.option("--widths", default="64-32-10", show_default=True, help="Of the layers, with a dash between.")
@click.option("--flags", multiple=True, default=("-O2", "-O3"), show_default=True, help="Of gcc.")
@click.option("--rounds", type=click.IntRange(1), default=500, show_default=True)
def main(widths: str, flags: tuple[str, ...], rounds: int) -> None:
    """Print the nanoseconds of a row, and how often the products fit into them."""
    sizes = [int(width) for width in widths.split("-")]
    lines = []
    for real in ("float", "double"):
        for one in flags:
            whole, plain, own = measured(sizes, real, one, rounds)
            cells = [f"{1e9 * seconds:.0f}" for seconds in (whole, plain, own)]
            lines.append([f"{real}, {one}", *cells, f"{whole / plain:.2f}", f"{whole / own:.2f}"])
    heads = ["", "inference", "plain products", "own products", "/ plain", "/ own"]
    click.echo(f"{widths} with ReLU and softmax, one row, in ns (gcc)\n")
    click.echo(tables.table(heads, lines))


if __name__ == "__main__":
    main()
