"""The page of a trace: its engine gives the numbers of the trace, and its words are those of the text."""

from __future__ import annotations

import json
import re
from importlib import resources

import numpy as np
import pytest
from support.engine import node

import nnx
from nnx.pages.descriptions import LAYERS, LOSSES, OPTIMIZERS
from nnx.pages.trace import given, write_trace

RNG = np.random.default_rng(3)
X = RNG.normal(size=(5, 3))
PROGRAM = """
answer = given.map((one) => {
  const model = new Model(one), { name, index } = one.weight;
  const [layer, parameter] = name.split(".");
  const owner = model.net.layers.find((other) => other.name === layer);
  const across = index.length > 1 ? owner.outputs : 1;
  const at = model.begin(owner, parameter) + index[0] * across + (index[1] ?? 0);
  const path = follow(model, { layer, index }, one.row)
    .map(({ layer, symbols, numbers }) => [layer, symbols, numbers]);
  const lines = updateLines(model.net.optimizer, model.numbersOf(owner, at))
    .map(({ symbols, numbers }) => [symbols, numbers]);
  const found = { difference: model.difference(), path, lines, losses: model.losses };
  model.advance();
  found.second = model.lossValue;
  model.reset();
  model.setWeight(at, 0.25);
  return { ...found, changed: Array.from(model.after.values) };
});
"""


def scripts():
    folder = resources.files("nnx.pages") / "trace_parts"
    return "\n".join((folder / f"{part}.js").read_text() for part in ("numbers", "lines", "model", "path"))


def network(*last, **options):
    layers = [nnx.Dense(3, 4), nnx.Tanh(), nnx.Dense(2), *last]
    return nnx.Network(layers, device="numpy", dtype="float64", seed=6, **options)


def targets(loss):
    if loss in ("mean_squared_error", "mean_absolute_error", "huber"):
        return np.random.default_rng(4).normal(size=(5, 2))
    return np.eye(2)[[0, 1, 1, 0, 1]]


ENDS = {"binary_cross_entropy": nnx.Sigmoid, "categorical_cross_entropy": nnx.Softmax, "poisson": nnx.Exp}
OPTIMIZERS_AND_SETTINGS = [
    *({"name": name} for name in sorted(OPTIMIZERS)),
    {"name": "sgd", "momentum": 0.9, "nesterov": True, "l2": 0.1},
    {"name": "rmsprop", "momentum": 0.5, "weight_decay": 0.1},
    {"name": "adam", "clip_norm": 0.1, "clip_value": 0.05},
]


def cases():
    """(network, targets, loss, optimizer, steps before) of each case, by name."""
    found = {}
    for loss in sorted(LOSSES):
        for fuse in (True, False):
            last = [ENDS[loss]()] if loss in ENDS else []
            found[f"{loss}, {fuse}"] = (network(*last, fuse=fuse), targets(loss), loss, "adam", 0)
    for settings in OPTIMIZERS_AND_SETTINGS:
        for steps in (0, 2):
            found[f"{settings}, {steps}"] = (network(), targets("huber"), "huber", settings, steps)
    for kind in sorted(LAYERS - {"Dense"}):
        layer = getattr(nnx, kind)(
            *{"Dropout": [0.3], "MaskNoise": [0.3], "GaussianNoise": [0.2]}.get(kind, [])
        )
        layers = [nnx.Dense(3, 4), layer, nnx.Dense(2)]
        net = nnx.Network(layers, device="numpy", dtype="float64", seed=6)
        found[kind] = (net, targets("huber"), "huber", "sgd", 1)
    return found


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """For each case the trace, what the page gets, and what its scripts compute."""
    made = {}
    for name, (net, y, loss, optimizer, steps) in cases().items():
        rule = nnx.optimizers.get(optimizer)
        for _ in range(steps):
            net.fit(X, y, loss=loss, optimizer=rule, batch_size=5)
        trace = net.trace(X, y, loss, rule)
        made[name] = (trace, given(trace, "dense_1.W[1, 2]", 2, ()), net, y, loss, rule)
    page = json.loads(json.dumps([one[1] for one in made.values()]))
    answers = node(scripts() + PROGRAM, page, tmp_path_factory.mktemp("node"))
    return {name: (*one, answer) for (name, one), answer in zip(made.items(), answers, strict=True)}


@pytest.mark.parametrize("name", cases())
def test_the_page_computes_the_trace_and_writes_its_words(pages, name):
    trace, _, net, y, loss, rule, answer = pages[name]
    assert answer["difference"]["share"] < 1e-11, answer["difference"]
    losses = [
        one.evaluate(X, y, loss=loss)["loss"] for one in (net, trace.network)
    ]  # before the step, and after
    assert answer["losses"] == pytest.approx(losses, rel=1e-9)
    weight, path = trace.weight("dense_1.W[1, 2]"), trace.path("dense_1.W[1, 2]", 2)
    assert answer["lines"] == [[line.symbols, line.numbers] for line in weight.update]
    assert answer["path"] == [[step.layer, step.symbols, step.numbers] for step in path.steps]
    copy = net.copy()
    copy.set_weights({name: one.after for name, one in trace.parameters.items()} | statistics(trace.network))
    random = nnx.Dropout | nnx.MaskNoise | nnx.GaussianNoise  # they draw by the number of the step
    if not any(isinstance(layer, random) for layer in net.layers):
        assert answer["second"] == pytest.approx(copy.trace(X, y, loss, nnx.SGD()).loss.total, rel=1e-9)
    net.layers[0].W[1, 2] = 0.25
    changed = net.trace(X, y, loss, rule)
    after = np.concatenate([one.after.ravel() for one in changed.parameters.values()])
    np.testing.assert_allclose(answer["changed"], after, rtol=1e-9, atol=1e-12)


def statistics(network):
    trained = {name for name, _, _ in network.parameters()}
    return {name: value for name, value in network.weights().items() if name not in trained}


def test_float32_is_compared_with_its_own_precision(tmp_path):
    net = nnx.Network([nnx.Dense(3, 4), nnx.ReLU(), nnx.Dense(2)], seed=1)
    page = given(net.trace(X, targets("huber"), "huber", "adam"), "", None, ())
    (answer,) = node(scripts() + PROGRAM, [page], tmp_path)
    assert 0.0 < answer["difference"]["share"] <= page["tolerance"] == 1e-4
    page["expected"]["parameters"]["dense_2.W"]["gradient"][3] *= 1.01  # a wrong number is found
    (answer,) = node(scripts() + PROGRAM, [page], tmp_path)
    assert answer["difference"]["share"] > page["tolerance"]
    assert answer["difference"]["place"] == "dense_2.dW"


def test_labels_become_rows_with_a_one_and_large_layers_are_drawn_in_part():
    net = nnx.Network([nnx.Dense(30, 20), nnx.ReLU(), nnx.Dense(3), nnx.Softmax()], device="numpy", seed=0)
    trace = net.trace(RNG.normal(size=(4, 30)), [2, 0, 1, 1], "cross_entropy", "sgd")
    page = given(trace, "dense_1.W[29, 17]", None, ())
    assert page["y"] == [0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0]
    assert [len(units) for units in page["units"]] == [8, 8, 8, 3, 3]
    assert page["units"][0][-1] == 29
    assert page["units"][1][-1] == page["units"][2][-1] == 17


def test_numbers_are_written_as_in_python(tmp_path):
    from nnx.tracing.formulas import factor, number, product_sum

    values = [0.0, -0.0, 1.0, -2.5, 123456.0, 1e-4, 1e-5, 9.9996, 0.00012345, 1e22, 99995.0, 1 / 3, -1e-300]
    program = (
        "answer = [given.map((v) => number(v)), given.map((v) => number(v, 6)), given.map((v) => factor(v)), "
    )
    program += "productSum(given.map((v, i) => [v, i + 1]), -1)];"
    found = node(scripts() + program, values, tmp_path)
    pairs = [(value, place + 1) for place, value in enumerate(values)]
    assert found == [[number(v) for v in values], [number(v, 6) for v in values], [factor(v) for v in values],
                     product_sum(pairs, -1)]  # fmt: skip


def test_what_a_page_cannot_show_is_one_line(tmp_path):
    y = targets("huber")
    convolution = nnx.Network([nnx.Reshape((3, 1)), nnx.Conv1D(2, 2), nnx.Flatten(), nnx.Dense(2)], seed=0)
    wrong = [
        (network().trace(X, y, "huber", "sgd"), "page.txt", "must end in .html"),
        (convolution.trace(X, y, "huber", "sgd"), "page.html", "engine has no layer"),
        (network().trace(X, y, "huber", "lbfgs"), "page.html", "no optimizer 'lbfgs'"),
        (network().trace(np.ones((65, 3)), np.ones((65, 2)), "huber", "sgd"), "page.html", "up to 64 rows"),
    ]
    for trace, name, text in wrong:
        with pytest.raises(nnx.ConfigurationError, match=re.escape(text)):
            write_trace(trace, tmp_path / name)
    assert list(tmp_path.iterdir()) == []
