"""Fixtures of the experiments: the digits, and an autoencoder that is trained on them only once."""

from __future__ import annotations

from functools import cache

import pytest
from support.devices_here import shortened

from nnx import datasets
from nnx.experiments import Result, autoencoder

SHORTER = 30  # epochs of an autoencoder on the digits


@pytest.fixture(scope="module")
def digits():
    return datasets.load_digits()


@pytest.fixture(scope="module")
def shallow(device):
    """The shallow autoencoder on the digits, as its preset trains it (for less in the short form)."""
    return _trained(device)


@cache
def _trained(device: str) -> Result:
    epochs = SHORTER if shortened(device) else None
    config = autoencoder.Config("shallow", "digits", epochs=epochs)
    return autoencoder.run(config, data=datasets.load_digits())
