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
FACTORS = {"float32": 4, "bfloat16": 2}  # bytes of a product's factor
BANDWIDTH = 3.35e12  # bytes a second
ARITHMETIC = {"float32": 0.6 * 67e12, "bfloat16": 0.6 * 989e12}  # operations a second (products reach 60 %)
SHORTEST = 2e-6  # seconds that any kernel takes
LAUNCH, GRAPH = 5e-6, 8e-6  # the host's seconds: a launch from Python, a whole graph
GAP = 1e-6  # between two kernels of a graph

Kernel = tuple[str, float, float]


def kernels(precision: str) -> list[Kernel]:
    """Return (what, bytes, operations) of each launch of a step, in order."""
    factor = FACTORS[precision]
    rounds = factor < NUMBER
    parameters = sum((a + 1) * b for a, b in pairwise(WIDTHS))
    first, last = ROWS * WIDTHS[0], ROWS * WIDTHS[-1]
    found = [("gather", first * (1 + NUMBER), first)]
    if rounds:
        found.append(rounding("round the batch and all weights", first + parameters, factor))
    for place, (inputs, units) in enumerate(pairwise(WIDTHS)):  # with ReLU except in the last layer
        _, nbytes, operations = product(ROWS, inputs, units, factor)
        found.append(("product with bias and ReLU", nbytes + units * NUMBER, operations + 2 * ROWS * units))
        if rounds and place < len(WIDTHS) - 2:
            found.append(rounding("round a hidden output", ROWS * units, factor))
    found.append(("loss, its sum and gradient", 3 * last * NUMBER, 20 * last))
    for place, (inputs, units) in reversed(list(enumerate(pairwise(WIDTHS)))):
        activation = place < len(WIDTHS) - 2  # the last layer has none: in float32, only db is written
        written = factor if activation or rounds else 0
        nbytes = ROWS * units * ((1 + activation) * NUMBER + written)
        found.append(("derivative and bias gradient", nbytes, 3 * ROWS * units))
        found.append(product(inputs, ROWS, units, factor))
        if place:
            found.append(product(ROWS, units, inputs, factor))
    found.append(("look for non-finite values", parameters * NUMBER, parameters))
    found.append(("Adam", 7 * parameters * NUMBER, 12 * parameters))
    return found


def product(m: int, k: int, n: int, factor: int) -> Kernel:
    """Return the name, bytes and operations of a product of matrices."""
    return "product", (m * k + k * n) * factor + m * n * NUMBER, 2 * m * k * n


def rounding(name: str, size: int, factor: int) -> Kernel:
    """Return the name, bytes and operations of a kernel that rounds float32 numbers to bfloat16."""
    return name, size * (NUMBER + factor), 4 * size


def seconds(kernel: Kernel, precision: str) -> float:
    """Return the time of a kernel."""
    name, nbytes, work = kernel
    speed = ARITHMETIC[precision if name.startswith("product") else "float32"]
    return max(SHORTEST, nbytes / BANDWIDTH, work / speed)


def show(precision: str) -> None:
    """Print the table of a precision, and the times of a step."""
    step = kernels(precision)
    times = [seconds(kernel, precision) for kernel in step]
    counts = Counter(name for name, _, _ in step)
    print(f"| kernels, {precision} | launches | MB | million operations | µs, model |\n|---|---|---|---|---|")
    for name, count in counts.items():
        own = [(b, w, t) for (one, b, w), t in zip(step, times, strict=True) if one == name]
        nbytes, work, time = (sum(column) for column in zip(*own, strict=True))
        print(f"| {name} | {count} | {nbytes / 1e6:.2f} | {work / 1e6:.1f} | {time * 1e6:.1f} |")
    launched = max(sum(times), LAUNCH * len(step))
    replayed = max(sum(times) + GAP * len(step), GRAPH)
    print(f"\n{precision}: {len(step)} launches; kernels alone {sum(times) * 1e6:.0f} µs; launched from "
          f"Python {launched * 1e6:.0f} µs; replayed {replayed * 1e6:.0f} µs (a model)\n")  # fmt: skip


def main() -> None:
    """Print both tables."""
    for precision in FACTORS:
        show(precision)


if __name__ == "__main__":
    main()
