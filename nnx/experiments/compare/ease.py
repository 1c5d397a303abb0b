"""Measure how easy a framework is to use: the lines of the same program, and the size on disk."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from nnx.experiments.compare.sides import FRAMEWORKS

# The same work in each, images x given: train the deep autoencoder, then encode.
PROGRAMS = {
    "nnx": """
import nnx
encoder = [nnx.Dense(n, activation="relu") for n in (512, 256, 128)] + [nnx.Dense(64)]
decoder = [nnx.Dense(n, activation="relu") for n in (128, 256, 512)] + [nnx.Dense(784, activation="sigmoid")]
network = nnx.Network(encoder + decoder)
network.fit(x, x, loss=nnx.BinaryCrossEntropy(), optimizer=nnx.Adam(1e-3), epochs=20, batch_size=256)
codes = network[:7].predict(x)
""",
    "keras": """
from keras import Sequential, layers
encoder = Sequential([layers.Dense(n, activation="relu") for n in (512, 256, 128)] + [layers.Dense(64)])
hidden = [layers.Dense(n, activation="relu") for n in (128, 256, 512)]
model = Sequential([encoder, *hidden, layers.Dense(784, activation="sigmoid")])
model.compile(optimizer="adam", loss="binary_crossentropy")
model.fit(x, x, epochs=20, batch_size=256)
codes = encoder.predict(x)
""",
    "torch": """
import torch
from torch import nn
down = (nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU())
up = (nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 256), nn.ReLU(), nn.Linear(256, 512), nn.ReLU())
encoder = nn.Sequential(*down, nn.Linear(128, 64))
model = nn.Sequential(encoder, *up, nn.Linear(512, 784))
optimizer, data = torch.optim.Adam(model.parameters()), torch.from_numpy(x)
for epoch in range(20):
    for batch in data[torch.randperm(len(data))].split(256):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(model(batch), batch).backward()
        optimizer.step()
codes = encoder(data).detach().numpy()
""",
}


def program_lines() -> dict[str, int]:
    """Return the lines of each framework's program."""
    return {name: len(program.strip().splitlines()) for name, program in PROGRAMS.items()}


def installed_megabytes(names: Iterable[str]) -> float | None:
    """Return the size on disk of distributions and all that they require; None if one is missing."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    todo = [canonicalize_name(name) for name in names]
    asked, seen, size = set(todo), set(todo), 0
    while todo:
        name = todo.pop()
        try:
            found = distribution(name)
        except PackageNotFoundError:
            if name in asked:
                return None
            continue
        paths = (Path(str(found.locate_file(file))) for file in found.files or ())
        size += sum(path.stat().st_size for path in paths if path.is_file())
        for required in map(Requirement, found.requires or ()):
            key = canonicalize_name(required.name)
            if key not in seen and (required.marker is None or required.marker.evaluate({"extra": ""})):
                seen.add(key)
                todo.append(key)
    return size / 1e6


def megabytes(framework: str) -> float | None:
    """Return the size of a framework on disk, with all that it requires."""
    if framework == "nnx":
        return installed_megabytes(["nnx-arrays"])
    installed = [name for name in FRAMEWORKS[framework].packages if any(metadata.distributions(name=name))]
    return installed_megabytes(installed) if installed else None
