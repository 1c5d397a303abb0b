"""A rank that may not come to the others: ``joining.py FOLDER RANK WHAT SECONDS``."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

folder, odd, what, seconds = Path(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4])
rank = next(os.environ[name] for name in ("PMI_RANK", "OMPI_COMM_WORLD_RANK") if name in os.environ)

if rank == odd:
    if what == "ends":
        sys.exit(0)
    if what == "fails":
        sys.exit("no such file on this machine")
    if what == "is busy":
        (folder / f"pid-{rank}").write_text(str(os.getpid()))
        time.sleep(60)

import nnx  # noqa: E402

if what == "threads":  # a fork is not safe then
    import threading

    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    if rank == odd:
        sys.exit(0)

(folder / f"pid-{rank}").write_text(str(os.getpid()))
communicator = nnx.distributed.connect("mpi", timeout=seconds)
sys.stdout.write(f"rank {communicator.rank} of {communicator.size} joined\n")  # in one piece
if what == "stays":  # the others end, and wait for this one within MPI
    (folder / f"joined-{rank}").write_text(str(os.getpid()))
    if rank == odd:
        time.sleep(60)
