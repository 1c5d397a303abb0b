"""Modules that have moved are found under their old names."""

from __future__ import annotations

import importlib
import sys

import pytest


@pytest.mark.parametrize(
    ("old", "name"), [("own_data", "run"), ("own_config", "Config"), ("applying", "Model")]
)
def test_the_old_names_of_the_modules_work_with_a_warning(old, name):
    from nnx.experiments import train

    sys.modules.pop(f"nnx.experiments.{old}", None)
    with pytest.warns(DeprecationWarning, match=f"nnx.experiments.{old} is now nnx.experiments.train"):
        module = importlib.import_module(f"nnx.experiments.{old}")
    assert getattr(module, name) is getattr(train, name)
