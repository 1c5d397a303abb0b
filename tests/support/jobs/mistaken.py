"""The command line as a rank that has other arguments: ``mistaken.py RANK OTHER… -- USUAL…``."""

from __future__ import annotations

import os
import sys

from nnx.cli.main import main

split = sys.argv.index("--")
rank = next(os.environ[name] for name in ("PMI_RANK", "OMPI_COMM_WORLD_RANK") if name in os.environ)
main(sys.argv[2:split] if rank == sys.argv[1] else sys.argv[split + 1 :])
