"""Small random affine maps distort images, sample between pixels, and keep their range."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from nnx.experiments.distortion import Affine, sample_bilinear

pytestmark = pytest.mark.usefixtures("device")

SHAPE = (9, 12)


@pytest.fixture
def images(rng):
    return rng.random((20, 9 * 12))


def test_sampling_between_pixels_is_scipys(images, rng):
    rows, columns = rng.uniform(-3, 12, (20, 108)), rng.uniform(-3, 15, (20, 108))
    ours = sample_bilinear(images, rows, columns, SHAPE)
    for image, row, column, value in zip(images, rows, columns, ours, strict=True):
        padded = np.pad(image.reshape(SHAPE), 4)  # SciPy would drop to 0 at once outside, not over a pixel
        np.testing.assert_allclose(value, map_coordinates(padded, [row + 4, column + 4], order=1), atol=1e-12)


def test_no_distortion_leaves_images_as_they_are(images):
    same = Affine(0, 0, 0, 0)(np.random.default_rng(0), images, SHAPE)
    np.testing.assert_allclose(same, images, atol=1e-12)


def test_distortion_keeps_type_range_and_the_share_left_alone(images):
    x = np.repeat(images.astype(np.float32), 50, axis=0)
    y = Affine(10, 0.1, 0.1, 1, share=0.3)(np.random.default_rng(0), x, SHAPE)
    assert y.dtype == np.float32
    assert y.shape == x.shape
    assert y.min() >= 0.0
    assert y.max() <= 1.0
    changed = np.abs(y - x).max(axis=1) > 1e-3
    assert abs(changed.mean() - 0.3) < 0.05  # 1,000 images: a standard deviation of 0.0145


def test_a_shift_alone_is_at_most_its_pixels():
    x = np.zeros((200, 108))
    x[:, 4 * 12 + 6] = 1.0
    y = Affine(0, 0, 0, 2)(np.random.default_rng(0), x, SHAPE).reshape(-1, *SHAPE)
    np.testing.assert_allclose(y.sum(axis=(1, 2)), 1.0, atol=1e-9)  # nothing leaves the image
    moved = (y * np.arange(9)[:, None]).sum(axis=(1, 2)) - 4
    assert np.abs(moved).max() <= 2.0
    assert np.abs(moved).max() > 1.5


def test_an_augmentation_distorts_targets_that_are_the_images_and_leaves_others(images):
    distortion, labels = Affine(10, 0.1, 0.1, 1), np.arange(20)
    wanted = distortion(np.random.default_rng(0), images, SHAPE)
    augment = distortion.augmentation(SHAPE)
    for y in (images, labels):
        x, targets = augment(np.random.default_rng(0), images, y)
        np.testing.assert_array_equal(x, wanted)
        assert targets is (x if y is images else labels)
