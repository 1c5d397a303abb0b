"""A model of the deep autoencoder's step on an H100: the bytes and operations of each kernel.

    python benchmarks/gpu_model.py

Nothing is measured. The time of a kernel is the longest of three: its bytes over the memory's speed, its
operations over the arithmetic's, and the shortest time of any kernel. The host's time is a cost for each
launch. All constants are assumptions, from data sheets and from what others report.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

WIDTHS = (784, 512, 256, 128, 64, 128, 256, 512, 784)
ROWS, NUMBER = 256, 4  # rows of a batch; bytes of a float32
BANDWIDTH, ARITHMETIC = 3.35e12, 0.6 * 67e12  # bytes and float32 operations a second (products reach 60 %)
SHORTEST = 2e-6  # seconds that any kernel takes
LAUNCH, GRAPH = 5e-6, 8e-6  # the host's seconds: a launch from Python, a whole graph
GAP = 1e-6  # between two kernels of a graph


def kernels() -> list[tuple[str, float, float]]:
    """Return (what, bytes, operations) of each launch of a step, in order."""
    parameters = sum((a + 1) * b for a, b in pairwise(WIDTHS))
    first, last = ROWS * WIDTHS[0], ROWS * WIDTHS[-1]
    found = [("gather", first * (1 + NUMBER), first)]
    for inputs, units in pairwise(WIDTHS):  # with bias, and with ReLU except in the last layer
        _, nbytes, operations = product(ROWS, inputs, units)
        found.append(("product with bias and ReLU", nbytes + units * NUMBER, operations + 2 * ROWS * units))
    found.append(("loss, its sum and gradient", 3 * last * NUMBER, 20 * last))
    for place, (inputs, units) in reversed(list(enumerate(pairwise(WIDTHS)))):
        arrays = 1 if place == len(WIDTHS) - 2 else 3  # the last layer has no activation: only db is written
        found.append(("derivative and bias gradient", arrays * ROWS * units * NUMBER, 3 * ROWS * units))
        found.append(product(inputs, ROWS, units))
        if place:
            found.append(product(ROWS, units, inputs))
    found.append(("look for non-finite values", parameters * NUMBER, parameters))
    found.append(("Adam", 7 * parameters * NUMBER, 12 * parameters))
    return found


def product(m: int, k: int, n: int) -> tuple[str, float, float]:
    """Return the name, bytes and operations of a product of matrices."""
    return "product", (m * k + k * n + m * n) * NUMBER, 2 * m * k * n


def main() -> None:
    """Print the table, and the times of a step."""
    step = kernels()
    times = [max(SHORTEST, nbytes / BANDWIDTH, work / ARITHMETIC) for _, nbytes, work in step]
    counts = Counter(name for name, _, _ in step)
    print("| kernels | launches | MB | million operations | µs, model |\n|---|---|---|---|---|")
    for name, count in counts.items():
        own = [(b, w, t) for (one, b, w), t in zip(step, times, strict=True) if one == name]
        nbytes, work, time = (sum(column) for column in zip(*own, strict=True))
        print(f"| {name} | {count} | {nbytes / 1e6:.2f} | {work / 1e6:.1f} | {time * 1e6:.1f} |")
    launched = max(sum(times), LAUNCH * len(step))
    replayed = max(sum(times) + GAP * len(step), GRAPH)
    print(f"\n{len(step)} launches; kernels alone {sum(times) * 1e6:.0f} µs; launched from Python "
          f"{launched * 1e6:.0f} µs; replayed {replayed * 1e6:.0f} µs (a model, not measured)")  # fmt: skip


if __name__ == "__main__":
    main()
