"""A folder of images is read as rows, its subfolders as classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.command_line import invoke
from support.own_files import digit_images, table
from support.own_models import here, trained  # noqa: F401

import nnx
from nnx.experiments.train.labelled import load_labelled

pytestmark = pytest.mark.usefixtures("on_cpu")


def test_a_folder_of_classes_is_learnt_and_each_image_named():
    digit_images(size=9)
    Image.new("RGB", (5, 7), "red").save("digits/digit 0/other.jpg")
    with pytest.raises(nnx.DataError, match="--image-size 9x9"):
        trained("digits")
    assert not Path("run").exists()
    result = trained("digits", "--image-size", "8x8", "--epochs", 80, "--layers", "32 relu")
    assert result["metrics"]["features"] == 192  # one image has colours, so all have
    assert result["metrics"]["accuracy"] > 0.5
    invoke("predict", "run", "digits", "--out", "all.csv")
    rows = table("all.csv")
    assert rows[0] == ["file", "class"]
    assert len(rows) == 122
    assert [row[0] for row in rows if row[0].endswith(".jpg")] == ["digits/digit 0/other.jpg"]
    right = [row[1] == Path(row[0]).parent.name for row in rows[1:]]
    assert np.mean(right) > 0.7
    invoke("predict", "run", "digits/digit 0/other.jpg", "--out", "one.csv")
    assert table("one.csv")[1][0] == "digits/digit 0/other.jpg"


def test_colours_are_kept_where_the_first_image_has_them():
    Path("flat").mkdir()
    for index, colour in enumerate(("red", "lime", "blue") * 4):
        Image.new("RGB", (2, 3), colour).save(f"flat/{index:02}.png")
    data = load_labelled("flat")
    assert data.layout.image == (3, 2, 3)
    assert data.x.shape == (12, 3, 2, 3)
    np.testing.assert_array_equal(data.x[0].reshape(-1), [255, 0, 0] * 6)
    np.testing.assert_array_equal(data.x[1].reshape(-1), [0, 255, 0] * 6)
