"""Reads the files of a folder by their readers, in what memory is allowed; prints what each took at most."""

import contextlib
import json
import resource
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from support.hostile import LIMIT, READERS, attempt

import nnx
from nnx.experiments.train.labelled import load_labelled


def status(name):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def main(folder, allowed):
    for reader in READERS.values():  # libraries are loaded, and room is made, by good files
        for seed in reader.seeds():
            place = Path(folder, "warm")
            place.mkdir()
            attempt(reader, place / reader.file, seed)
            (place / reader.file).unlink()
            place.rmdir()
    resource.setrlimit(resource.RLIMIT_AS, (status("VmSize") + int(allowed),) * 2)
    found = {}
    for path in sorted(Path(folder).glob("*/*")):
        reader = next(r for r in READERS.values() if r.file == path.name)
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
        before = status("VmRSS")
        data = path.read_bytes()
        taken = attempt(reader, path, data)
        if path.suffix in (".png", ".bmp", ".gif", ".jpg", ".tif", ".webp"):
            with contextlib.suppress(nnx.DataError):
                load_labelled(path.parent, image_size=(2, 2), max_bytes=LIMIT)
        found[path.parent.name] = {"taken": taken, "bytes": status("VmHWM") - before}
    print(json.dumps(found))


main(*sys.argv[1:])
