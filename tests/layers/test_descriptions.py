"""A layer's description names its class, also where two modules have a class of that name."""

from __future__ import annotations

import numpy as np
import pytest

import nnx

pytestmark = pytest.mark.usefixtures("device")


def times(module, factor):
    """A class of a user's module, as its import makes it."""

    def forward_into(self, x, y, cache):
        y[...] = factor * x

    return type("Times", (nnx.Layer,), {"__module__": module, "forward_into": forward_into})


@pytest.fixture
def imported(monkeypatch):
    """A later process, which knows only the modules that it imports."""
    known = dict(nnx.Layer.registry)

    def of(*modules):
        monkeypatch.setattr(nnx.Layer, "registry", dict(known))
        return [times(*module) for module in modules]

    return of


A, B = ("mine_a", 2.0), ("mine_b", 3.0)


def saved(path, kind):
    nnx.Network([kind()], seed=0).build(6).save(path)
    return path


def factor(network):
    return float(network.predict(np.ones((1, 6)))[0, 0])


def test_two_layers_of_one_name_from_two_modules_are_told_apart(tmp_path, imported):
    """Each is copied and loaded as itself, whichever was imported first."""
    for order in ((A, B), (B, A)):
        for kind, (module, by) in zip(imported(*order), order, strict=True):
            assert factor(nnx.Network([kind()], seed=0).build(6).copy()) == by
            assert factor(nnx.load(saved(tmp_path / f"{module}.safetensors", kind))) == by
        imported(*reversed(order))
        assert factor(nnx.load(tmp_path / "mine_a.safetensors")) == 2.0
        imported(B)
        assert factor(nnx.load(tmp_path / "mine_b.safetensors")) == 3.0
        with pytest.raises(nnx.FileFormatError, match=r"unknown layer 'mine_a\.Times'"):
            nnx.load(tmp_path / "mine_a.safetensors")


@pytest.mark.parametrize("order", [(A, B), (B, A)])
def test_a_name_that_two_classes_have_is_not_guessed(tmp_path, imported, order):
    """A file has the name alone where no other class had it then, as all files of version 0.1 do."""
    path = saved(tmp_path / "m.safetensors", *imported(B))
    assert b'"kind": "Times"' in path.read_bytes().replace(b"\\", b"")
    imported(*order)
    with pytest.raises(nnx.FileFormatError, match=r"m\.safetensors: layer 'Times'.*mine_") as error:
        nnx.load(path)
    assert "mine_a.Times" in str(error.value)
    assert "mine_b.Times" in str(error.value)
    imported(B)
    assert factor(nnx.load(path)) == 3.0


@pytest.mark.parametrize(
    ("name", "hint"),
    [("Dens", "did you mean 'Dense'?"), ("Slopd", "choose from "), ("Containr", "choose from "),
     ("a.Tmes", "did you mean 'mine_a.Times'?")],
)  # fmt: skip
def test_an_unknown_layer_names_only_classes_that_can_be_used(name, hint, imported):
    imported(A)
    with pytest.raises(nnx.FileFormatError) as caught:
        nnx.layers.from_config(name, {})
    assert hint in str(caught.value)
    for base in ("_", "Container", "Activation,", "Masked", "Convolution"):
        assert base not in str(caught.value).replace("mine_a", "").replace(f"{name!r}", "")
