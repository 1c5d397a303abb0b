"""Hostile files by the thousand: every reader, as in tests/hostile/test_fuzz.py, for as long as it is told.

    python tests/fuzz/fuzz_readers.py                     10,000 changed files of each kind
    python tests/fuzz/fuzz_readers.py --files 100000 npz csv
    python tests/fuzz/fuzz_readers.py --atheris 600 png   one kind for 600 seconds, guided by coverage; needs
                                                          pip install atheris
A file that is neither read nor refused by one line of nnx's own is kept in the present folder.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import os
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
STUCK = 60  # seconds with one file, after which its stack is printed and the process ends
GUIDED = ("zipfile", "tomllib", "csv", "gzip", "json", "PIL", "numpy.lib", "nnx")


def by_change(kind: str, files: int, seed: int) -> None:
    """Change good files, half of them with checksums that are right again."""
    from support import hostile

    reader, draw, taken, began, slowest = hostile.READERS[kind], random.Random(seed), 0, time.monotonic(), 0.0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        for number in range(files):
            change = hostile.changed if number % 2 else hostile.resealed
            data = change(draw.choice(reader.seeds()), draw)
            faulthandler.dump_traceback_later(STUCK, exit=True)
            started = time.monotonic()
            try:
                taken += hostile.attempt(reader, Path(folder) / reader.file, data)
            except BaseException:
                Path(f"hostile-{kind}-{seed}-{number}").write_bytes(data)
                raise
            slowest = max(slowest, time.monotonic() - started)
    faulthandler.cancel_dump_traceback_later()
    print(
        f"{kind:6} {files:8,} files tried, {files - taken:8,} refused, the slowest in {slowest:.2f} s, "
        f"{time.monotonic() - began:.0f} s in all",
        flush=True,
    )


def by_coverage(kind: str, seconds: int) -> None:
    """Let atheris look for bytes that reach new code, from the good files on."""
    import atheris

    with atheris.instrument_imports(include=list(GUIDED), enable_loader_override=False):
        hostile = importlib.import_module("support.hostile")
        for name in ("Png", "Jpeg", "Gif", "Bmp", "Tiff", "WebP"):
            importlib.import_module(f"PIL.{name}ImagePlugin")
    reader, draw = hostile.READERS[kind], random.Random(0)
    place = Path(tempfile.mkdtemp())
    corpus = Path(tempfile.mkdtemp())
    for number, seed in enumerate(reader.seeds()):
        (corpus / str(number)).write_bytes(seed)
    for number in range(200):
        (corpus / f"resealed-{number}").write_bytes(hostile.resealed(draw.choice(reader.seeds()), draw))

    def one(data: bytes) -> None:
        hostile.attempt(reader, place / reader.file, data)

    options = [f"-max_total_time={seconds}", "-max_len=65536", f"-timeout={STUCK}", "-rss_limit_mb=2048"]
    atheris.Setup([sys.argv[0], *options, "-print_final_stats=1", str(corpus)], one)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kinds", nargs="*", help="default: all")
    parser.add_argument("--files", type=int, default=10_000, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--atheris", type=int, metavar="SECONDS")
    arguments = parser.parse_args()
    os.environ.setdefault("NNX_DEVICE", "numpy")
    if arguments.atheris:
        (kind,) = arguments.kinds
        by_coverage(kind, arguments.atheris)
        return
    from support import hostile

    for kind in arguments.kinds or hostile.READERS:
        by_change(kind, arguments.files, arguments.seed)


if __name__ == "__main__":
    main()
