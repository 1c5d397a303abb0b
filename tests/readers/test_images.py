"""Images are read as they look: transparent, rotated, inverted, of 16 bits, of several sizes."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.command_line import invoke

import nnx
from nnx.experiments.train.labelled import Reading, load_inputs, load_labelled

pytestmark = pytest.mark.usefixtures("on_cpu")
GREY = np.arange(0, 240, 20, dtype=np.uint8).reshape(3, 4)
COLOURS = np.random.default_rng(0).integers(0, 256, (3, 4, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def saved(image, name, folder="p", **options):
    path = Path(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(path, **options)
    return path


def seen(**how):
    data = load_labelled("p", how=Reading(**how))
    height, width, channels = data.layout.image
    return data.x.reshape(len(data.x), height, width, channels), data


def encoded(name):
    """A grey picture, by the name of how it is kept, and what is to be seen of it."""
    if name.startswith("turned"):
        exif = Image.Exif()
        exif[0x0112] = int(name[-1])
        turn = {3: lambda a: a[::-1, ::-1], 6: lambda a: a.T[:, ::-1], 8: lambda a: a.T[::-1]}[exif[0x0112]]
        return (GREY, {"exif": exif}), turn(GREY)
    if name == "1 bit":
        return (Image.fromarray(GREY).point(lambda v: 255 * (v > 100), "1"), {}), np.where(GREY > 100, 255, 0)
    if name == "a grey palette":
        image = Image.fromarray(GREY // 20)
        image = Image.frombytes("P", image.size, image.tobytes())
        image.putpalette([20 * (at // 3) for at in range(36)])
        return (image, {}), GREY
    if name == "opaque alpha":
        return (np.dstack([GREY, np.full_like(GREY, 255)]), {}), GREY
    if name == "a transparent grey":
        return (GREY, {"transparency": 40}), np.where(GREY == 40, 255, GREY)
    return (GREY, {}), GREY


KEPT = {  # in which formats Pillow writes it
    "plain": (".png", ".tif", ".tiff", ".webp", ".bmp", ".gif"),
    "1 bit": (".png", ".tif", ".bmp", ".gif"),
    "a grey palette": (".png", ".tif", ".bmp", ".gif"),
    "opaque alpha": (".png", ".tif", ".webp"),
    "a transparent grey": (".png",),
    "turned 3": (".png", ".tif", ".webp"),
    "turned 6": (".png", ".tif", ".webp"),
    "turned 8": (".png", ".tif", ".webp"),
}


@pytest.mark.parametrize(("name", "suffix"), [(name, suffix) for name in KEPT for suffix in KEPT[name]])
def test_a_picture_is_read_as_it_is_seen(name, suffix):
    (image, options), right = encoded(name)
    if suffix == ".webp":
        options = options | {"lossless": True, "exact": True}
    saved(image, "a" + suffix, **options)
    pixels, data = seen()
    if data.layout.image[2] == 3:  # WebP knows no greys
        assert suffix == ".webp"
        assert (pixels == pixels[..., :1]).all()
    np.testing.assert_array_equal(pixels[0, ..., 0], right)
    assert pixels.dtype == np.uint8
    assert load_inputs("p", data.layout)[0].tolist() == data.x.tolist()


def test_ink_on_a_transparent_ground_is_seen_on_white_or_as_is_asked():
    ink = np.zeros((4, 4, 4), np.uint8)
    ink[1, :, 3] = 255
    ink[2, :, 3] = 51  # a fifth
    saved(ink, "black.png")
    pixels, data = seen()
    np.testing.assert_array_equal(pixels[0, :, 0, 0], [255, 0, 204, 255])
    assert "transparent" in data.notes[-1]
    assert "white" in data.notes[-1]
    palette = Image.fromarray(ink).quantize(4)
    saved(palette, "b.png")
    np.testing.assert_allclose(seen()[0][1, :, 0, 0], [255, 0, 204, 255], atol=2)
    ink[..., :3] = 255
    for old in Path("p").iterdir():
        old.unlink()
    saved(ink, "white.png")
    with pytest.raises(nnx.DataError, match=r"white\.png: .*transparent.*--background"):
        load_labelled("p")
    pixels, data = seen(background="black")
    np.testing.assert_array_equal(pixels[0, :, 0, 0], [0, 255, 51, 0])
    x, _ = load_inputs("p", data.layout)
    np.testing.assert_array_equal(x, data.x)


def test_an_empty_transparent_picture_is_blank():
    saved(np.zeros((2, 2, 4), np.uint8), "a.png")
    assert (seen()[0] == 255).all()


def test_cmyk_is_the_colour_it_stands_for():
    saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "red.jpg", quality=100)
    np.testing.assert_allclose(seen()[0][0, 4, 4], [255, 0, 0], atol=3)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_are_kept(suffix):
    deep = np.array([[0, 257, 300], [65535, 32768, 1]], np.uint16)
    saved(deep, "deep" + suffix)
    pixels, data = seen()
    np.testing.assert_allclose(pixels[0, ..., 0], deep / 257.0, rtol=1e-6)
    assert not data.layout.scaled_bytes
    saved(np.array([[0, 1, 2], [255, 7, 8]], np.uint8), "shallow.png")
    pixels, data = seen()
    np.testing.assert_array_equal(pixels[1, ..., 0], [[0, 1, 2], [255, 7, 8]])
    x, _ = load_inputs("p/shallow.png", data.layout)
    np.testing.assert_array_equal(x, data.x[1:])
    bytes_ = data.layout.__class__(6, image=(2, 3, 1), scaled_bytes=True)
    x, _ = load_inputs("p/deep" + suffix, bytes_)  # by a model trained on pictures of 8 bits
    np.testing.assert_array_equal(x[0], np.rint(deep.ravel() / 257.0))


def test_16_bits_that_are_inverted_are_turned_back():
    deep = np.array([[0, 257], [65535, 32768]], np.uint16)
    saved(deep, "a.tif", tiffinfo={0x0106: 0})
    np.testing.assert_allclose(seen()[0][0, ..., 0], (65535 - deep) / 257.0, rtol=1e-6)


def test_16_bits_of_which_few_are_used_are_told():
    saved(np.array([[0, 4095], [7, 9]], np.uint16), "a.png")
    assert "4,095 of 65,535" in seen()[1].notes[-1]


def png_of_16_bits(pixels: np.ndarray) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff_of_16_bits(pixels: np.ndarray) -> bytes:
    height, width, _ = pixels.shape
    data = pixels.astype("<u2").tobytes()
    tags = {256: width, 257: height, 258: 0, 259: 1, 262: 2, 273: 0, 277: 3, 278: height, 279: len(data)}
    after = 8 + 2 + 12 * len(tags) + 4
    tags |= {258: after, 273: after + 6}
    entries = b"".join(
        struct.pack("<HHII", tag, 3 if tag == 258 else 4, 3 if tag == 258 else 1, tags[tag]) for tag in tags
    )
    head = b"II*\0" + struct.pack("<IH", 8, len(tags))
    return head + entries + bytes(4) + struct.pack("<HHH", 16, 16, 16) + data


@pytest.mark.parametrize("write", [png_of_16_bits, tiff_of_16_bits])
def test_colours_of_16_bits_are_read_in_8_and_that_is_told(write):
    deep = np.random.default_rng(0).integers(0, 2**16, (2, 3, 3))
    Path("p").mkdir()
    Path("p/a" + (".png" if write is png_of_16_bits else ".tif")).write_bytes(write(deep))
    pixels, data = seen()
    np.testing.assert_array_equal(pixels[0], deep >> 8)
    assert "channels of 16 bits" in data.notes[0]
    assert "upper 8 bits" in data.notes[0]


@pytest.mark.parametrize("kind", ["F", "I"])
def test_pixels_whose_range_is_not_known_are_refused(kind):
    saved(Image.new(kind, (2, 2)), "a.tif")
    with pytest.raises(nnx.DataError, match=rf"a\.tif: .*{kind}.* 8 or 16 bits"):
        load_labelled("p")


def test_colours_are_decided_for_the_whole_folder():
    saved(GREY, "a.png")
    saved(COLOURS, "b.png")
    pixels, data = seen()
    np.testing.assert_array_equal(pixels[1], COLOURS)
    np.testing.assert_array_equal(pixels[0], np.dstack([GREY] * 3))
    assert "1 grey images" in data.notes[-1]


def test_colours_that_a_network_of_greys_does_not_see_are_told():
    saved(GREY, "a.png")
    layout = seen()[1].layout
    saved(COLOURS, "b.png")
    notes = []
    x, _ = load_inputs("p", layout, notes=notes)
    assert x.shape == (2, 3, 4, 1)
    (note,) = notes
    assert note.startswith("p: 1 images have colours")


@pytest.mark.parametrize(("suffix", "options"), [(".gif", {}), (".tif", {}), (".png", {}), (".webp", {})])
def test_of_several_pictures_in_a_file_the_first_is_read_and_that_is_told(suffix, options):
    frames = [Image.new("L", (8, 8), shade) for shade in (0, 100, 250)]
    saved(frames[0], "a" + suffix, save_all=True, append_images=frames[1:], **options)
    pixels, data = seen()
    assert pixels.max() <= 2
    assert "several pictures" in data.notes[0]


def test_another_gamma_is_told():
    plain = io.BytesIO()
    Image.fromarray(GREY).save(plain, "PNG")
    body = b"gAMA" + struct.pack(">I", 100_000)
    chunk = struct.pack(">I", 4) + body + struct.pack(">I", zlib.crc32(body))
    Path("p").mkdir()
    Path("p/a.png").write_bytes(plain.getvalue()[:33] + chunk + plain.getvalue()[33:])
    assert "gamma" in seen()[1].notes[0]


def test_sizes_that_differ_are_named_and_brought_to_one():
    saved(GREY, "a.png")
    saved(np.zeros((6, 8), np.uint8), "b.png")
    with pytest.raises(nnx.DataError, match=r"b\.png: .*6 × 8.*a\.png.*3 × 4.*--image-size 3x4"):
        load_labelled("p")
    assert load_labelled("p", image_size=(3, 4)).x.shape == (2, 3, 4, 1)


def test_files_that_are_no_images_and_deeper_folders_are_told():
    saved(GREY, "a.png")
    Path("p/photo.heic").write_bytes(b"1")
    Path("p/deeper").mkdir()
    saved(GREY, "b.png", "p/deeper")
    saved(GREY, "c.png", "p/deeper/still")
    with pytest.raises(nnx.DataError, match="lies in no subfolder"):
        load_labelled("p")
    Path("p/a.png").unlink()
    data = load_labelled("p", "autoencoding")
    assert len(data.x) == 1
    assert "2 files are no images that are read (first p/photo.heic)" in data.notes[0]


def folders(*names, count=12):
    for name in names:
        for index in range(count):
            picture = np.full((4, 4), 20 if name.endswith("dark") else 220, np.uint8)
            picture[index % 4] = 128
            saved(picture, f"{index:02}.png", f"p/{name}")


@pytest.mark.parametrize("other", ["test", "val", "Validation"])
def test_folders_of_training_and_test_are_no_classes(other):
    folders("train/dark", "train/light", f"{other}/dark", f"{other}/light")
    for extra in ("0", "1"):
        saved(np.zeros((4, 4), np.uint8), f"x{extra}.png", f"p/{other}/dark")
    result = json.loads(invoke("train", "p", "--epochs", 80, "--out", "run", "-q", "--json").stdout)
    assert result["metrics"]["classes"] == ["dark", "light"]
    assert (result["metrics"]["rows"], result["metrics"]["validation_rows"]) == (24, 26)
    assert result["metrics"]["accuracy"] == 1.0
    assert f"train is trained on, {other} is held out" in result["notes"][0]


def test_of_two_folders_that_could_be_held_out_the_first_is_and_that_is_told():
    folders("train/dark", "train/light", "val/dark", "val/light", "test/dark")
    data = load_labelled("p")
    assert data.held_out.tolist() == list(range(24, 48))
    assert "val is held out; test is not used" in data.notes[0]
    folders("val/grey")
    with pytest.raises(nnx.DataError, match=r"val/grey: .*no class.* p/train"):
        load_labelled("p")


def test_a_folder_of_16_bits_is_trained_on_and_applied():
    for index in range(20):
        deep = np.full((3, 3), 60_000 if index % 2 else 5_000, np.uint16)
        deep[index % 3, 0] = 30_000
        saved(deep, f"{index:02}.png", f"p/{'light' if index % 2 else 'dark'}")
    for index in range(10):  # shades that differ by less than a 256th
        deep = np.full((2, 2), 1000 + index, np.uint16)
        saved(deep, f"{index}.png", "q")
    invoke("train", "p", "--epochs", 100, "--out", "run", "-q", "--json")
    done = invoke("predict", "run", "p", "--out", "p.csv")
    lines = Path("p.csv").read_text().splitlines()[1:]
    assert all(line.split(",")[1] == Path(line.split(",")[0]).parent.name for line in lines), done.output
    assert len(np.unique(load_labelled("q").x[:, 0])) == 10
    result = json.loads(invoke("train", "q", "--epochs", 2, "--out", "c", "-q", "--json").stdout)
    assert result["config"]["loss"] == "binary_cross_entropy"
