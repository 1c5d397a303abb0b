"""The engine in JavaScript computes what nnx computes in float64: all weights and losses of 200 steps."""

from __future__ import annotations

import numpy as np
import pytest
from support.engine import CLOSE, PROGRAM, ROWS, given, node, rows_for, trained_by_nnx
from support.engine_cases import CASES, LAYERS, dense

import nnx
from nnx.pages import build


@pytest.fixture(scope="module")
def by_engine(tmp_path_factory):
    program = PROGRAM + "answer = given.map(train);"
    answers = node(program, [given(one) for one in CASES.values()], tmp_path_factory.mktemp("node"))
    return dict(zip(CASES, answers, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_two_hundred_steps_are_those_of_nnx(by_engine, name):
    there, here = by_engine[name], trained_by_nnx(CASES[name], *rows_for(CASES[name]))
    assert list(there["weights"]) == list(here["weights"])
    for key, values in here["first"].items():
        rounding = 1e-14 if "normal" in name else 0.0  # of the ziggurat's table
        np.testing.assert_allclose(there["first"][key], values.ravel(), rtol=rounding, err_msg=key)
    for key, values in here["weights"].items():
        np.testing.assert_allclose(there["weights"][key], values.ravel(), **CLOSE, err_msg=key)
    np.testing.assert_allclose(there["losses"], here["losses"], **CLOSE)
    np.testing.assert_allclose(there["predictions"], here["predictions"].ravel(), **CLOSE)
    np.testing.assert_allclose(there["loss"], here["loss"], **CLOSE)


def names_in(one):
    """Every name of `offers` that a case uses."""
    loss, optimizer = (
        value if isinstance(value, str) else value["name"] for value in (one["loss"], one["optimizer"])
    )
    entries = one["layers"]
    return {
        "layers": {entry["kind"] for entry in entries},
        "activations": {entry.get("activation") for entry in entries},
        "initializers": {entry.get("initializer") for entry in entries},
        "losses": {loss},
        "optimizers": {optimizer},
    }


def test_many_normal_numbers_are_those_of_numpy(tmp_path):
    """Also the rare ones: those at the edge of a strip, and those of the tail."""
    layers = [{"kind": "Dense", "units": 400, "initializer": "lecun_normal"}]
    program = "answer = Array.from(nnxEngine.network(given).values.subarray(0, 40000));"
    there = node(program, {"inputs": 100, "layers": layers, "seed": 2}, tmp_path)
    here = nnx.initializers.LeCunNormal()(nnx.initializers.generator(2, "weights"), (100, 400)).ravel()
    assert abs(here).max() > 0.1 * 3.66
    np.testing.assert_allclose(there, here, rtol=1e-13)


def test_nothing_that_is_offered_is_untested(tmp_path):
    offers = node("answer = nnxEngine.offers;", None, tmp_path)
    for what, names in offers.items():
        used = set().union(*(names_in(one)[what] for one in CASES.values()))
        assert set(names) <= used, what


def settings_in(one):
    """Every setting that a case sets, with the name of its layer, loss or optimizer."""
    named = [(entry["kind"], entry) for entry in one["layers"]]
    named += [(given["name"], given) for given in (one["loss"], one["optimizer"]) if isinstance(given, dict)]
    return {(name, setting) for name, given in named for setting in given}


def test_no_setting_is_untested(tmp_path):
    program = """
    const named = (table) => Object.entries(table).map(([name, settings]) => [name, Object.keys(settings)]);
    answer = Object.values(nnxEngine.defaults).flatMap(named);
    """
    settings = {(name, setting) for name, all_ in node(program, None, tmp_path) for setting in all_}
    assert settings <= set().union(*map(settings_in, CASES.values()))


def test_a_loss_that_is_not_finite_changes_nothing(tmp_path):
    program = """
    const net = nnxEngine.network(given), before = net.state(), x = Float64Array.of(1, 2, 1e200);
    const loss = net.step(x, Float64Array.of(1e200, 0), 1);
    const same = net.values.every((value, i) => value === before.values[i]);
    answer = [loss < Infinity, net.fault, net.steps, same];
    net.step(Float64Array.of(1, 2, 3), Float64Array.of(1, 0), 1);
    answer.push(net.fault, net.steps);
    """
    answer = node(program, {"inputs": 3, "layers": [dense(2)]}, tmp_path)
    assert answer == [False, True, 0, True, False, 1]


def test_an_optimizer_starts_again_if_it_is_changed(tmp_path):
    program = """
    const net = nnxEngine.network({ ...given, optimizer: { name: "sgd", momentum: 0.9 } });
    const x = Float64Array.of(1, 2, 3), y = Float64Array.of(1, 0);
    for (let i = 0; i < 3; i++) net.step(x, y, 1);
    net.setOptimizer({ name: "adam", learning_rate: 0.5 });
    const before = net.values.slice();
    net.step(x, y, 1);
    answer = [Object.keys(net.slots), net.optimizerSteps, net.steps, Math.abs(net.values[0] - before[0])];
    """
    slots, steps, all_steps, change = node(program, {"inputs": 3, "layers": [dense(2)]}, tmp_path)
    assert (slots, steps, all_steps) == (["m", "v"], 1, 4)
    assert change == pytest.approx(0.5, rel=1e-4)  # the first step of Adam has the size of the rate


def test_batches_in_the_order_of_the_engine_train_as_fit_does(tmp_path):
    """Also the last, smaller batch, and a larger one after it."""
    one = CASES["two layers of dropout"]
    x, y = rows_for(one)
    program = f"""
    const net = nnxEngine.network(given), [x, y] = [{x.tolist()}, {y.tolist()}];
    for (let epoch = 0; epoch < 6; epoch++) {{
      const order = Array.from(nnxEngine.epochOrder(net.seed, net.steps, {ROWS}));
      for (let start = 0; start < {ROWS}; start += 5) {{
        const rows = order.slice(start, start + 5);
        const take = (from) => Float64Array.from(rows.flatMap((i) => from[i]));
        net.step(take(x), take(y), rows.length);
      }}
    }}
    answer = Array.from(net.predict(Float64Array.from(x.flat()), {ROWS}));
    """
    network = build(one)
    network.fit(x, y, loss=one["loss"], optimizer=one["optimizer"], epochs=6, batch_size=5)
    np.testing.assert_allclose(node(program, one, tmp_path), network.predict(x).ravel(), **CLOSE)


def test_a_restored_state_repeats_its_steps(tmp_path):
    """Undo: parameters, statistics, moments and masks are those from before."""
    one = LAYERS["deep"]
    x, y = rows_for(one)
    program = f"""
    const net = nnxEngine.network(given), x = Float64Array.from({x.ravel().tolist()});
    const y = Float64Array.from({y.ravel().tolist()});
    const train = () => Array.from({{ length: 5 }}, () => net.step(x, y, {ROWS}));
    const listed = (_, value) => ArrayBuffer.isView(value) ? Array.from(value) : value;
    train();
    const state = net.state(), first = train();
    net.restore(JSON.parse(JSON.stringify(state, listed)));
    answer = [first, train()];
    """
    first, again = node(program, one, tmp_path)
    assert first == again


def test_looking_leaves_the_last_training_pass_as_it_is(tmp_path):
    one = LAYERS["deep"]
    x, y = rows_for(one)
    program = f"""
    const net = nnxEngine.network(given), x = Float64Array.from({x.ravel().tolist()});
    const y = Float64Array.from({y.ravel().tolist()});
    const told = () => net.layers.map((one) => [one.x, one.y, one.dx].map((all) => Array.from(all)));
    net.forward(x, {ROWS});
    net.backward(y, {ROWS}, true);
    const before = told(), gradients = Array.from(net.gradients);
    net.look(x.subarray(0, {one["inputs"]}), 1);
    net.evaluate(x, y, {ROWS});
    const looked = told();
    net.backward(y, {ROWS}, true);
    answer = [before, looked, told(), gradients, Array.from(net.gradients)];
    """
    before, looked, again, gradients, last = node(program, one, tmp_path)
    assert before == looked == again
    assert gradients == last


LOGITS = {"name": "binary_cross_entropy", "from_logits": True}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"layers": []}, "at least one layer"),
        ({"layers": [{"kind": "Dens"}]}, 'unknown layer "Dens": choose one of Dense,'),
        ({"layers": [{"kind": "Dense"}]}, "layer Dense needs a value for units"),
        ({"layers": [{"kind": "Dense", "units": 2, "rate": 1}]}, 'layer Dense has no setting "rate"'),
        ({"layers": [{"kind": "Dense", "units": 2, "activation": "thanh"}]}, 'unknown activation "thanh"'),
        ({"loss": "mse"}, 'unknown loss "mse"'),
        ({"loss": "binary_cross_entropy"}, "must end with Sigmoid, not with Dense"),
        ({"loss": "hinge", "layers": [{"kind": "Sigmoid"}]}, "remove the last layer, Sigmoid"),
        ({"loss": LOGITS, "layers": [{"kind": "Sigmoid"}]}, "remove the last layer, Sigmoid"),
        ({"loss": "categorical_cross_entropy", "layers": [dense(1, "softmax")]}, "one output"),
        ({"inputs": 0}, "network: inputs must be a whole number above 0, not 0"),
        ({"layers": [dense(2.5)]}, "layer Dense: units must be a whole number above 0, not 2.5"),
        ({"layers": [{"kind": "Dropout", "rate": 1}]}, "layer Dropout: rate must be a number from 0"),
        ({"optimizer": {"name": "sgd", "learning_rate": "0.1"}}, "learning_rate must be a number"),
        ({"optimizer": {"name": "adam", "momentum": 0.9}}, 'optimizer adam has no setting "momentum"'),
        ({"weights": {"dense_1.W": [1, 2]}}, "dense_1.W needs 6 numbers"),
        ({"state": {"values": [1, 2]}}, "another network"),
        ({"state": {"slots": {"m": [1, 2]}}}, "another optimizer"),
        ({"layers": [{**dense(2), "initializer": "orthogonal"}]}, 'unknown initializer "orthogonal"'),
    ],
)  # fmt: skip
def test_faults_are_told(tmp_path, changes, told):
    description = {"inputs": 3, "layers": [dense(2)]} | changes
    program = "try { nnxEngine.network(given); } catch (error) { answer = error.message; }"
    assert told in node(program, description, tmp_path)


def test_a_step_allocates_no_arrays_and_no_numbers(tmp_path):
    """A number as an object takes 12 bytes; the layers of a step compute 17,000 numbers."""
    program = """
    const layer = (units, activation) => ({ kind: "Dense", units, activation });
    const layers = [layer(8, "tanh"), layer(8, "relu"), layer(1, "sigmoid")];
    const net = nnxEngine.network({ inputs: 2, layers, loss: "binary_cross_entropy", optimizer: "adam" });
    const x = Float64Array.from({ length: 1000 }, Math.random), y = new Float64Array(500);
    let arrays = 0;
    globalThis.Float64Array = class extends Float64Array {
      constructor(...given) { super(...given); arrays += 1; }
    };
    const steps = (count) => {
      for (let i = 0; i < count; i++) { net.step(x, y, 500); net.predict(x, 500); }
    };
    steps(300);
    const first = arrays, before = process.memoryUsage().heapUsed;
    steps(100);
    answer = [first > 0, arrays - first, (process.memoryUsage().heapUsed - before) / 100];
    """
    prepared, arrays, bytes_ = node(program, None, tmp_path, "--max-semi-space-size=256")
    assert prepared
    assert arrays == 0
    assert bytes_ < 20_000


OUTSIDE = {
    "rate": 1.0, "momentum": -0.1, "label_smoothing": 1.0, "beta1": 1.0, "beta2": 1.0, "rho": 1.0,
    "epsilon": 0.0, "delta": 0.0, "clip_norm": 0.0, "clip_value": -1.0, "stddev": -1.0, "alpha": -1.0,
    "learning_rate": -1.0, "initial_accumulator": -1.0, "weight_decay": -1.0, "l2": -1.0, "initial": "1",
    "nesterov": "yes", "from_logits": "yes", "approximate": "yes", "reduction": "none", "units": 0,
    "initializer": "none", "shared_axes": "1",
}  # fmt: skip


def test_a_value_outside_its_range_is_refused_as_in_nnx(tmp_path):
    """Each setting of each kind."""
    program = """
    const refused = (description) => {
      try { nnxEngine.network({ inputs: 2, ...description }); } catch (error) { return error.message; }
    };
    const { layers, losses, optimizers } = nnxEngine.defaults, one = { kind: "Dense", units: 1 };
    const needed = { rate: 0.1, stddev: 0.1, units: 1 };
    answer = [];
    const each = (table, made) => {
      for (const [name, settings] of Object.entries(table)) {
        for (const setting of Object.keys(settings)) {
          const value = given[setting], told = refused(made(name, settings, { [setting]: value }));
          answer.push([name, setting, told]);
        }
      }
    };
    const own = (settings) => Object.fromEntries(Object.keys(settings).map((key) => [key, needed[key]]));
    each(layers, (kind, settings, wrong) => ({ layers: [{ kind, ...own(settings), ...wrong }] }));
    each(losses, (name, _, wrong) => ({ layers: [one], loss: { name, ...wrong } }));
    each(optimizers, (name, _, wrong) => ({ layers: [one], optimizer: { name, ...wrong } }));
    """
    told = node(program, OUTSIDE, tmp_path)
    assert len(told) >= 60
    for name, setting, message in told:
        assert setting in message, (name, setting, message)
        kind = (
            next(get for get in (nnx.losses, nnx.optimizers) if name in get.NAMES) if name.islower() else None
        )
        required = {"units": 1, "rate": 0.1, "stddev": 0.1} if kind is None else {}
        known = {key: value for key, value in required.items() if (name, key) in {(n, s) for n, s, _ in told}}
        arguments = known | {setting: OUTSIDE[setting]}
        with pytest.raises(nnx.ConfigurationError):
            getattr(nnx, name)(**arguments) if kind is None else kind.get(name, **arguments)
