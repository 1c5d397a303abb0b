"""Every layer and loss has cases, and their backward passes agree with finite differences."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import nnx
from nnx.backends import Backend
from nnx.gradcheck import CASES, Case, registered, run_all
from nnx.layers.activations import Activation
from nnx.layers.containers import Container
from nnx.layers.convolution_base import Convolution
from nnx.layers.dropout import Masked
from nnx.layers.images import ImageLayer
from nnx.layers.pooling import Maximum

pytestmark = pytest.mark.usefixtures("on_cpu")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_gradient(case: Case, backend: Backend) -> None:
    report = case.check(backend).raise_if_failed()
    assert report.directions
    assert report.worst < 1e-6


def subclasses(base: type) -> Iterator[type]:
    for kind in base.__subclasses__():
        if kind.__module__.startswith("nnx."):
            yield kind
        yield from subclasses(kind)


@pytest.mark.parametrize("base", [nnx.Layer, nnx.Loss])
def test_every_layer_and_loss_has_a_case(base: type) -> None:
    abstract = {Activation, Container, Convolution, ImageLayer, Masked, Maximum}
    # Of rooms above gradcheck: tests/experiments/test_pretraining.py and tests/estimators/test_variational.py
    elsewhere = {"SwapHalves", "BernoulliNats", "GaussianNats"}
    missing = {
        kind.__name__
        for kind in subclasses(base)
        if not kind.__name__.startswith("_")
        and kind not in abstract | registered()
        and kind.__name__ not in elsewhere
    }
    assert not missing, f"no case in nnx/gradcheck/cases.py for {sorted(missing)}"


def test_run_all_reports_under_the_cases_names() -> None:
    reports = run_all("cpu")
    assert [report.name for report in reports] == [case.name for case in CASES]
    assert all(report.message.startswith(report.name) for report in reports)
