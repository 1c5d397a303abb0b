"""Train on the files of FOLDER with so much memory: python limited.py FOLDER mapped|loaded BYTES (0: all)."""

from __future__ import annotations

import json
import resource
import sys

import numpy as np

import nnx
from nnx import datasets

folder, way, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
if limit:
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
rows = datasets.open_rows(folder)
if way == "loaded":
    rows = rows.loaded()
network = nnx.Network(
    [nnx.Dense(rows.shape[1], 16), nnx.ReLU(), nnx.Dense(rows.shape[1])], device="numpy", seed=0
)
options = {"loss": nnx.MeanSquaredError(), "optimizer": nnx.Adam(1e-3), "batch_size": 1024}
history = network.fit(rows, rows, **options)
validation = network.evaluate(rows, rows, loss=options["loss"])
print(json.dumps([history["loss"], validation["loss"], rows.arrays[0].nbytes * len(rows.arrays)]))
assert np.isfinite(history["loss"]).all()
