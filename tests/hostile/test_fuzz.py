"""Files in which any byte may be wrong: each reader reads them, or refuses them with one line.

``python tests/fuzz/fuzz_readers.py --help`` shows how to try more files, also with atheris.
"""

from __future__ import annotations

import functools
import gzip
import io
import json
import logging
import os
import random
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from support import hostile
from support.command_line import command
from support.made_to_harm import ARRAYS as MADE_TO_HARM
from support.places import JOBS

import nnx
from nnx.experiments.train.labelled import load_inputs, load_labelled
from nnx.experiments.train.preparation import Preparation

pytestmark = pytest.mark.slow

EXAMPLES = 120  # of each kind; the suite's share of what the script tries
ALLOWED = 2**28  # bytes that reading any file here may take, whatever it claims

fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def place():
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.parametrize("kind", hostile.READERS)
def test_good_files_are_read(place, kind):
    reader = hostile.READERS[kind]
    for seed in reader.seeds():
        assert hostile.attempt(reader, place / reader.file, seed)


@pytest.mark.parametrize("kind", hostile.READERS)
@fuzzed
@given(seed=st.integers(0, 2**32), sealed=st.booleans())
def test_changed_files_are_read_or_refused(place, kind, seed, sealed):
    reader, draw = hostile.READERS[kind], random.Random(seed)
    change = hostile.resealed if sealed else hostile.changed
    hostile.attempt(reader, place / reader.file, change(draw.choice(reader.seeds()), draw))


@pytest.mark.parametrize("kind", hostile.READERS)
@settings(fuzzed, max_examples=30)
@given(data=st.binary(max_size=200), start=st.integers(0, 24))
def test_any_bytes_are_refused_or_read(place, kind, data, start):
    """Behind the beginning of a good file, so that they are taken for one."""
    reader = hostile.READERS[kind]
    hostile.attempt(reader, place / reader.file, reader.seeds()[0][:start] + data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KEYS = ("task", "layout", "inputs", "outputs", "classes", "targets", "shift", "scale", "features", "columns",
        "chosen", "width", "image", "scaled_bytes", "shape")  # fmt: skip


@settings(fuzzed, max_examples=200)
@given(kept=json_values | st.dictionaries(st.sampled_from(KEYS), json_values))
def test_what_a_model_says_of_its_data_is_not_believed(kept):
    with pytest.raises(nnx.FileFormatError, match="what the model says of its data is damaged"):
        Preparation.from_metadata(kept, (2,), (2,))


@settings(fuzzed, max_examples=60)
@given(seed=st.integers(0, 2**32))
def test_a_checkpoint_with_a_right_checksum_is_gone_on_from_or_refused(seed):
    logging.disable()
    data = hostile.resealed(hostile.model_seeds()[2], random.Random(seed))
    layers = [nnx.Dense(3, 2), nnx.BatchNorm(), nnx.Dropout(0.1), nnx.Dense(2), nnx.Softmax()]
    network = nnx.Network(layers, device="numpy", seed=0)
    try:
        with tempfile.TemporaryDirectory() as folder, np.errstate(all="ignore"):
            (Path(folder) / "fit-1-step-2.safetensors").write_bytes(data)
            kept = nnx.checkpoints.Checkpoint(folder, 1, resume=True)
            network.fit(hostile.X, np.arange(8) % 2, loss=nnx.CategoricalCrossEntropy(), optimizer=nnx.Adam(),
                        batch_size=4, checkpoint=kept)  # fmt: skip
    except nnx.NnxError as error:
        hostile.check(error, Path(folder) / "fit-1-step-2.safetensors")
    finally:
        logging.disable(logging.NOTSET)


# ------------------------------------------------------------------------------------------------- memory


def png(width: int, height: int, *parts: tuple[bytes, bytes], pixels: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    every = ((b"IHDR", header), *parts, (b"IDAT", zlib.compress(pixels)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in every
    )


def webp(width: int, height: int) -> bytes:
    """The header of a file that claims so many pixels, and nothing of them."""
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + sides + b"VP8L" + struct.pack("<I", 8) + bytes(8)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff(width: int, height: int) -> bytes:
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: width * height}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


def saved(image: Image.Image, kind: str) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def widened(data: bytes, at: int, form: str, *sides: int) -> bytes:
    packed = struct.pack(form, *sides)
    return data[:at] + packed + data[at + len(packed) :]


@functools.cache
def bombs() -> dict[str, tuple[str, bytes]]:
    """Small files that claim, or unpack to, very much."""
    large = np.zeros(2**26, bool)
    gif, bmp, jpeg = (hostile.pictures(kind)[0] for kind in ("GIF", "BMP", "JPEG"))
    inflated = zlib.compress(bytes(2**27), 1)
    label = np.array(["a" * 2**20, "b", "a" * 2**20, "b"])
    found = {
        "png of many pixels": ("x.png", png(60_000, 60_000)),
        "png of as many pixels as are accepted": (
            "x.png", png(4096, 4096, pixels=bytes(4096 * (4096 * 3 + 1))),
        ),
        "png that unpacks to more than its pixels": ("x.png", png(4, 4, pixels=bytes(2**27))),
        "png with a long text": ("x.png", png(4, 4, (b"zTXt", b"a\0\0" + inflated), pixels=bytes(52))),
        "png with a long profile": ("x.png", png(4, 4, (b"iCCP", b"a\0\0" + inflated), pixels=bytes(52))),
        "gif of many pixels": ("x.gif", widened(gif, 6, "<HH", 65_535, 65_535)),
        "bmp of many pixels": ("x.bmp", widened(bmp, 18, "<ii", 2**30, 2**30)),
        "jpeg of many pixels": (
            "x.jpg", widened(jpeg, jpeg.index(b"\xff\xc0") + 5, ">HH", 65_000, 65_000),
        ),
        "webp of many pixels": ("x.webp", webp(16_383, 16_383)),
        "webp of many pixels and a picture of few": (
            "x.webp", widened(hostile.pictures("WEBP")[2], 24, "<I", 0x3FFF_3FFF),
        ),
        "tiff of many pixels": ("x.tif", tiff(60_000, 60_000)),
        "tiff of many pixels in no bytes": ("x.tif", tiff(4096, 4096)),
        "csv of one line in quotes": ("x.csv", b'"' + b"a," * 2**20),
        "csv of numbers with commas": ("x.csv", b"a;b\n" + b"1,5;2,5\n" * 2**17),
        "csv of texts alone": ("x.csv", b"".join(b"%d;t%d\n" % (n, n) for n in range(2**16))),
        "npz with very long texts": ("x.npz", hostile.npz(x=hostile.X[:4], y=label)),
        "npz of two large arrays": ("x.npz", hostile.npz(x=large.reshape(2, -1), y=large)),
        "csv of very many short lines": ("x.csv", b"a\n" * 2**21),
        "csv of very many classes": ("x.csv", b"".join(b"1,2,%d\n" % n for n in range(2**17))),
        "csv of very many columns": ("x.csv", b"1," * 2**17 + b"1\n"),
        "csv of very many names": ("x.csv", b"n," * 2**17 + b"n\n"),
        "toml of very many tables": ("run.toml", b"a." * 4000 + b"a = 1\n"),
        "gzip within gzip": ("x.gz", gzip.compress(gzip.compress(bytes(2**26)))),
    }  # fmt: skip
    of_kind = {".npy": "x.npy", ".npz": "x.npz", ".gz": "x.gz", ".csv": "x.csv", "": "x-idx3-ubyte"}
    return found | {
        what: (of_kind[Path(name).suffix], data()) for what, (name, data, _) in MADE_TO_HARM.items()
    }


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="this system does not tell its peaks")
def test_reading_takes_no_more_memory_than_is_accepted(tmp_path):
    """In a process that could not take more; arrays may have 16 MiB here, images 2²⁴ pixels."""
    for number, (what, (name, data)) in enumerate(bombs().items()):
        folder = tmp_path / f"{number:02} {what}"
        folder.mkdir()
        (folder / name).write_bytes(data)
    job = JOBS / "bounded.py"
    path = os.pathsep.join([str(Path(nnx.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, job, tmp_path, str(2**30)],
        env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == len(bombs())
    most = max(found, key=lambda what: found[what]["bytes"])
    print(f"{len(found)} files, at most {found[most]['bytes'] / 2**20:.0f} MiB: {most}")
    assert found[most]["bytes"] <= ALLOWED, (most, found[most])


# -------------------------------------------------------------------------------------- paths and pipes


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (2, 2)).save(path)
    return path


@pytest.mark.parametrize("link", ["image", "folder"])
def test_a_link_that_leads_out_of_a_folder_is_refused(tmp_path, link):
    outside = picture(tmp_path / "outside" / "secret.png")
    picture(tmp_path / "data" / "a" / "1.png")
    if link == "image":
        (tmp_path / "data" / "a" / "2.png").symlink_to(outside)
    else:
        (tmp_path / "data" / "b").symlink_to(outside.parent)
    with pytest.raises(nnx.DataError, match="is a link that leads out of its folder"):
        load_labelled(tmp_path / "data")
    with pytest.raises(nnx.DataError, match="is a link that leads out of its folder"):
        load_inputs(tmp_path / "data", hostile.PICTURE)


def test_links_within_a_folder_are_followed_and_a_ring_of_them_is_refused(tmp_path):
    picture(tmp_path / "1.png")
    (tmp_path / "2.png").symlink_to("1.png")
    assert load_labelled(tmp_path).x.shape == (2, 2, 2, 1)
    (tmp_path / "3.png").symlink_to("4.png")
    (tmp_path / "4.png").symlink_to("3.png")
    with pytest.raises(nnx.DataError, match=r"[34]\.png|cannot be read"):
        load_labelled(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_among_images_is_refused_and_not_waited_for(tmp_path):
    picture(tmp_path / "1.png")
    os.mkfifo(tmp_path / "2.png")
    with pytest.raises(nnx.DataError, match="a pipe or a device"):
        load_labelled(tmp_path)


def test_names_that_a_terminal_would_obey_are_written_out(tmp_path):
    """Of a folder, and so of a class: in an error, on standard output, in the predictions."""
    for name in ("\x1b[2Jred", "\x1b]0;title\x07"):
        for index in range(5):
            picture(tmp_path / "data" / name / f"{index}.png")
    broken = tmp_path / "data" / "\x1b[2Jred" / "\x1b[31m.png"
    broken.write_bytes(b"")
    done = command(tmp_path, "train", "data", "--epochs", 1, "--out", "run")
    assert done.returncode == 1
    assert "\\x1b[31m.png: " in done.stderr
    broken.unlink()
    done = command(tmp_path, "train", "data", "--epochs", 1, "--out", "run")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stderr + done.stdout


def test_a_file_that_is_no_image_under_the_name_of_one(tmp_path):
    """No decoder is reached but those of the formats that are named, whatever the suffix."""
    for suffix, kind in ((".png", "TGA"), (".jpg", "PPM"), (".gif", "ICO"), (".tif", "PCX")):
        path = tmp_path / f"x{suffix}"
        path.write_bytes(saved(Image.new("RGB", (16, 16)), kind))
        with pytest.raises(nnx.DataError, match="not a readable image"):
            load_labelled(tmp_path)
        path.unlink()
