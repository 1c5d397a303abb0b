"""The form of a sample is data that a model keeps, and names its features."""

from __future__ import annotations

import dataclasses

import numpy as np
from support.own_tables import here, read  # noqa: F401

from nnx.experiments.train.features import learnt


def test_the_layout_is_data_that_a_model_can_keep():
    found = learnt(read("a,c,kind\n1,r,x\n,b,y\n3,r,x\n", missing="mean", categories="onehot"), np.arange(3))
    kept = dataclasses.asdict(found.layout)
    assert kept["fills"] == (2.0, None)
    assert kept["categories"] == ((), ("b", "r"))
