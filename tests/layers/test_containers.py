"""Containers: their layers are planned, fused, named, frozen, saved and resumed like all others."""

from __future__ import annotations

import json
import pickle
import tracemalloc

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from support.small_networks import forward, host

import nnx
from nnx import checkpoints
from nnx.layers import Layer

pytestmark = pytest.mark.usefixtures("device")

RNG = np.random.default_rng(8)
X = RNG.normal(size=(40, 6))
LABELS = RNG.integers(0, 4, 40)
LOSS = nnx.CategoricalCrossEntropy()


def layers() -> list[Layer]:
    return [
        nnx.Dense(8),
        nnx.Residual([nnx.LayerNorm(), nnx.Dense(12), nnx.Tanh(), nnx.Dropout(0.2), nnx.Dense(8)]),
        nnx.Concatenate([[], [nnx.Dense(4, activation="relu")], [nnx.BatchNorm(), nnx.Dropout(0.2)]]),
        nnx.Residual([nnx.Dense(5), nnx.Tanh()], projection=nnx.Dense(5)),
        nnx.Sequential([nnx.Dense(6), nnx.GELU()]),
        nnx.Dense(4),
        nnx.Softmax(),
    ]


def network(**options) -> nnx.Network:
    return nnx.Network(layers(), **{"seed": 2, "dtype": "float64", **options})


def fit(made: nnx.Network, x=X, **options):
    settings = {"loss": LOSS, "optimizer": nnx.Adam(0.01), "epochs": 3, "batch_size": 7}
    return made.fit(x, LABELS, **(settings | options))


def same(a: nnx.Network, b: nnx.Network) -> bool:
    mine, theirs = a.weights(), b.weights()
    return mine.keys() == theirs.keys() and all((mine[name] == theirs[name]).all() for name in mine)


# ------------------------------------------------------------------- what they compute


def test_a_residual_block_is_the_sum_of_its_terms():
    made = network().build(6)
    x = made.asarray(X)
    before, after = host(forward(made[:1], x)).copy(), host(forward(made[:2], x)).copy()
    inner = nnx.Network([nnx.LayerNorm(), nnx.Dense(12), nnx.Tanh(), nnx.Dense(8)], dtype="float64").build(8)
    weights = {
        name.removeprefix("residual_1."): v
        for name, v in made.weights().items()
        if name.startswith("residual_1.")
    }
    inner.set_weights(weights)
    np.testing.assert_allclose(after, before + inner.predict(before), rtol=1e-12)


def test_concatenated_branches_stand_next_to_each_other():
    block = nnx.Concatenate([[], [nnx.Dense(3)], [nnx.Dense(2), nnx.ReLU()]]).build((5, 6), dtype="float64")
    x = RNG.normal(size=(4, 5, 6))
    y = host(block.forward(block.arena.backend.asarray(x)))
    first, second = ((host(block.branches[i][0].W), host(block.branches[i][0].b)) for i in (1, 2))
    expected = [x, x @ first[0] + first[1], np.maximum(x @ second[0] + second[1], 0.0)]
    np.testing.assert_allclose(y, np.concatenate(expected, axis=-1), rtol=1e-12)


def test_sequential_is_its_layers_one_after_the_other():
    plain = nnx.Network([nnx.Dense(6, 5), nnx.Tanh(), nnx.Dense(4), nnx.Softmax()], seed=1, dtype="float64")
    held = nnx.Network(
        [nnx.Sequential([nnx.Dense(6, 5), nnx.Tanh()]), nnx.Sequential([nnx.Dense(4)]), nnx.Softmax()],
        seed=1, dtype="float64",
    )  # fmt: skip
    assert held.input_shape == (6,), "the first layer in it states its width"
    for made in (plain, held):
        fit(made)
    assert all((a == b).all() for a, b in zip(plain.weights().values(), held.weights().values(), strict=True))


def test_containers_are_fused_and_not_to_the_same_numbers():
    fused, single = network(), network(fuse=False)
    for made in (fused, single):
        fit(made)
    for name, value in fused.weights().items():
        np.testing.assert_allclose(value, single.weights()[name], rtol=1e-9, atol=1e-12, err_msg=name)
    plan = fused.plan("training", without_last=True)
    assert [len(branch.groups) for branch in plan.branches[1]] == [4, 0], "Dense and Tanh run as one"
    assert fused.training_plan(LOSS)[1] == "categorical_cross_entropy_from_logits"


def test_images_are_flattened_into_the_compiled_loop():
    images = X.reshape(40, 2, 3)
    plain = nnx.Network([nnx.Dense(6, 5), nnx.Tanh(), nnx.Dense(4), nnx.Softmax()], seed=1)
    flat = nnx.Network([nnx.Flatten(), nnx.Dense(5), nnx.Tanh(), nnx.Dense(4), nnx.Softmax()], seed=1)
    fit(plain), fit(flat, images)
    assert all((a == b).all() for a, b in zip(plain.weights().values(), flat.weights().values(), strict=True))
    turned = nnx.Network(
        [nnx.Dense(6, 6), nnx.Reshape((2, 3)), nnx.Dense(4), nnx.Flatten(), nnx.Dense(4)], seed=1
    )
    history = turned.fit(
        X, RNG.normal(size=(40, 4)), loss=nnx.MeanSquaredError(), optimizer=nnx.SGD(0.1), epochs=4
    )
    assert history["loss"][-1] < history["loss"][0]


def test_a_container_may_end_in_the_loss_activation():
    plain = nnx.Network([nnx.Dense(5), nnx.Tanh(), nnx.Dense(4), nnx.Softmax()], seed=1, dtype="float64")
    last = nnx.Sequential([nnx.Dense(4), nnx.Softmax()])
    held = nnx.Network([nnx.Dense(5), nnx.Tanh(), last], seed=1, dtype="float64")
    for made in (plain, held):
        fit(made)
    np.testing.assert_allclose(held.predict(X), plain.predict(X), rtol=1e-6)  # not fused: p is clipped
    with pytest.raises(nnx.ConfigurationError, match=r"Softmax\(\)"):
        fit(nnx.Network([nnx.Dense(5), nnx.Sequential([nnx.Dense(4)])], seed=1))
    with pytest.raises(nnx.ConfigurationError, match=r"Softmax\(\)"):
        fit(nnx.Network([nnx.Dense(4), nnx.Residual([nnx.Softmax()])], seed=1))


# -------------------------------------------------------------------------- memory


def same_memory(first, second):
    """Whether two arrays of one device lie in the same place: what is written to one is in the other."""
    first[...] = 1.0
    second[...] = 2.0
    return bool((host(first) == 2.0).all())


def test_a_branch_writes_into_place_where_it_can():
    block = nnx.Residual([nnx.Dense(5), nnx.Tanh(), nnx.Dense(6)])
    made = nnx.Network([block], dtype="float64").build(6)
    made.forward(made.asarray(X), training=True)
    ((_, outer),) = made.plan("training")._current
    inner = outer.plans[0]._current
    assert same_memory(inner[-1][1].y, outer.y)
    assert same_memory(inner[0][1].dx, outer.dx)
    kept = nnx.Network([nnx.Residual([nnx.Dense(6), nnx.Tanh()])], dtype="float64").build(6)
    kept.forward(kept.asarray(X), training=True)
    ((_, outer),) = kept.plan("training")._current
    assert not same_memory(outer.plans[0]._current[-1][1].y, outer.y), "tanh' is taken of it"


def test_nothing_is_allocated_after_the_first_step():
    wide = [nnx.Residual([nnx.Dense(64), nnx.Tanh(), nnx.Dense(32)]), nnx.Concatenate([[], [nnx.Dense(32)]])]
    made = nnx.Network([nnx.Dense(32), *wide], device="numpy", seed=0).build(32)
    x, dy = made.asarray(np.ones((1024, 32))), made.asarray(np.ones((1024, 64)))

    def step():
        made.forward(x, training=True)
        made.backward(dy)

    step()
    before = len(made.plan("training").buffers._kept)
    tracemalloc.start()
    try:
        step()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(made.plan("training").buffers._kept) == before
    assert peak < 65_536, "a batch of the narrowest layer takes 131,072 bytes"


@pytest.mark.parametrize("rows", [(7, 40, 3, 40), (40, 7, 40)])
def test_batches_of_any_size_follow_each_other(rows):
    made = nnx.Network(layers()[:1] + layers()[2:], seed=2, dtype="float64").build(6)
    for count in rows:
        x = made.asarray(X[:count])
        y = host(made.forward(x)).copy()
        np.testing.assert_allclose(y, made.predict(X)[:count], rtol=1e-12)
        made.forward(x, training=True)
        assert np.isfinite(host(made.backward(made.asarray(np.ones((count, 4))), input_gradient=True))).all()


# --------------------------------------------------------------- names, parts, files


def test_parameters_are_named_by_their_path():
    made = network().build(6)
    names = [name for name, _, _ in made.parameters()]
    assert "residual_1.dense_2.W" in names
    assert "concatenate_1.dense_1.b" in names
    assert "residual_2.dense_2.W" in names, "the projection's"
    assert "concatenate_1.batchnorm_1.running_mean" in made.weights()
    assert len(set(names)) == len(names)
    assert [n for n, _, _ in made[1].named_parameters()][2] == "dense_1.W"
    assert made[1].parameter_count() == 16 + 108 + 104
    text = made.summary()
    assert "\n  dense_2 " in text
    assert f"{made.parameter_count():,} parameters" in text


def test_nested_containers_have_longer_paths():
    made = nnx.Network([nnx.Residual([nnx.Sequential([nnx.Dense(6), nnx.Residual([nnx.Dense(6)])])])]).build(
        6
    )
    assert [name for name, _, _ in made.parameters()][2] == "residual_1.sequential_1.residual_1.dense_1.W"
    assert "      dense_1" in made.summary()


def test_frozen_containers_stay_as_they_are():
    made = network().build(6)
    made[1].trainable = False
    made[2].branches[1][0].trainable = False
    assert not made[1].trainable
    assert made[2].trainable
    before = made.weights()
    copied = made.copy()
    fit(made), fit(copied)
    after = made.weights()
    for name, value in before.items():
        frozen = name.startswith(("residual_1.", "concatenate_1.dense_1."))
        assert (value == after[name]).all() == (frozen or name == "concatenate_1.none"), name
    assert same(made, copied)
    assert not copied[2].branches[1][0].trainable
    made[1].trainable = True
    fit(made)
    assert (made.weights()["residual_1.dense_1.W"] != before["residual_1.dense_1.W"]).any()


def test_slices_train_their_containers():
    made = network().build(6)
    before = made.weights()
    part = made[1:3]
    part.fit(
        RNG.normal(size=(40, 8)),
        RNG.normal(size=(40, 20)),
        loss=nnx.MeanSquaredError(),
        optimizer=nnx.Adam(0.1),
    )
    for name, value in made.weights().items():
        moved = (value != before[name]).any()
        assert moved == name.startswith(("residual_1.", "concatenate_1.")), name


def test_copies_files_and_pickles_compute_the_same(tmp_path):
    made = network()
    fit(made)
    made.save(tmp_path / "net.safetensors")
    for other in (made.copy(), nnx.load(tmp_path / "net.safetensors"), pickle.loads(pickle.dumps(made))):
        assert other.config() == made.config()
        assert same(made, other)
        assert (other.predict(X) == made.predict(X)).all()
    moved = made.copy().to("numpy")
    np.testing.assert_allclose(moved.predict(X), made.predict(X), rtol=1e-10)
    fit(moved)


def test_an_interrupted_run_resumes_to_the_same_bits(tmp_path):
    whole, stopped = network(), network()
    fit(whole, epochs=6)
    fit(stopped, epochs=3, checkpoint=nnx.Checkpoint(tmp_path, resume=True))
    resumed = network()
    fit(resumed, epochs=6, checkpoint=nnx.Checkpoint(tmp_path, resume=True))
    assert same(whole, resumed)


def test_a_setting_of_an_inner_layer_is_resumed(tmp_path):
    class Half(nnx.Callback):
        def on_epoch_end(self, run):
            if run.epoch == 2:
                run.network[1].branches[0][3].rate = 0.5

    whole, resumed = network(), network()
    fit(whole, epochs=5, callbacks=[Half()])
    fit(network(), epochs=3, callbacks=[Half()], checkpoint=nnx.Checkpoint(tmp_path, resume=True))
    fit(resumed, epochs=5, callbacks=[Half()], checkpoint=nnx.Checkpoint(tmp_path, resume=True))
    assert same(whole, resumed)


def test_each_dropout_inside_has_its_own_masks():
    block = nnx.Concatenate([[nnx.Dropout(0.5)], [nnx.Dropout(0.5)]])
    made = nnx.Network([nnx.Dropout(0.5), block], seed=0, dtype="float64").build(50)
    y = host(made.forward(made.asarray(np.ones((20, 50))), training=True)) > 0.0
    assert (y[:, :50] != y[:, 50:]).any()
    alone = nnx.Concatenate([[nnx.Dropout(0.5)], [nnx.Dropout(0.5)]]).build(50, dtype="float64")
    y = host(alone.forward(alone.arena.backend.asarray(np.ones((20, 50))), training=True)) > 0.0
    assert (y[:, :50] != y[:, 50:]).any()


def test_a_value_that_is_not_finite_is_found_inside():
    made = network().build(6)
    made[1].branches[0][1].W[...] = np.inf
    with pytest.raises(nnx.TrainingError, match=r"the output of residual_1\.dense_1"):
        fit(made)


def test_values_of_layers_that_were_built_alone_are_kept():
    dense = nnx.Dense(6, 6, seed=3).build(dtype="float64")
    before = host(dense.W).copy()
    made = nnx.Network([nnx.Residual([dense, nnx.Tanh()])], dtype="float64").build(6)
    assert (made.weights()["residual_1.dense_1.W"] == before).all()
    block = nnx.Residual([nnx.Dense(6)]).build(6, dtype="float64")
    before = host(block.branches[0][0].W).copy()
    made = nnx.Network([block], dtype="float64")
    assert (made.weights()["residual_1.dense_1.W"] == before).all()


def test_the_gradient_check_finds_a_wrong_layer_inside():
    class Wrong(Layer):
        def forward_into(self, x, y, workspace):
            y[...] = 2.0 * x

        def backward_into(self, dy, dx, workspace):
            if dx is not None:
                dx[...] = dy

    assert not nnx.gradcheck.check(nnx.Residual([nnx.Dense(4), Wrong()])).passed


# ------------------------------------------------------------------ what is refused


class Holder(Layer):
    """A layer of one's own that hides another."""

    def __init__(self):
        super().__init__()
        self.inner = nnx.Dense(3)


USED = nnx.Dense(6)


@pytest.mark.parametrize(
    ("act", "parts"),
    [
        (lambda: nnx.Residual([]), ["Residual", "at least one layer"]),
        (lambda: nnx.Sequential(nnx.Dense(4)), ["Sequential", "list"]),
        (lambda: nnx.Concatenate([nnx.Dense(4)]), ["list of lists"]),
        (lambda: nnx.Concatenate([]), ["list of lists"]),
        (lambda: nnx.Residual(["dense"]), ["'dense'"]),
        (lambda: nnx.Concatenate([[USED], [USED]]), ["twice"]),
        (lambda: nnx.Network([nnx.Residual([nnx.Dense(5)])]).build(6),
         ["residual_1", "(5,)", "(6,)", "projection"]),
        (lambda: nnx.Network([nnx.Residual([nnx.Conv2D(2, 3)])]).build((8, 8, 2)),
         ["residual_1", "(6, 6, 2)", "(8, 8, 2)", 'padding="same"', "nnx.Conv2D(…) with the same strides"]),
        (lambda: nnx.Network([nnx.Residual([nnx.Dense(5)], nnx.Dense(4))]).build(6), ["(5,)", "(4,)"]),
        (lambda: nnx.Network([nnx.Sequential([nnx.Dense(4), nnx.Dense(5, 6)])]).build(7),
         ["sequential_1", "5 inputs", "4"]),
        (lambda: nnx.Network([nnx.Concatenate([[nnx.Flatten()], [nnx.Dense(2)]])]).build((3, 4)),
         ["concatenate_1", "(12,)", "(3, 2)"]),
        (lambda: nnx.Network([nnx.Reshape((5, 2))]).build(6), ["reshape_1", "(6,)"]),
        (lambda: nnx.Reshape((-1, -1)), ["-1"]),
        (lambda: nnx.Reshape((0, 2)), ["shape"]),
        (lambda: nnx.Network([Holder()]).build(3), ["'inner'", "nnx.Sequential"]),
        (lambda: nnx.Network([nnx.Sequential([Holder()])]).build(3), ["'inner'", "nnx.Sequential"]),
    ],
)  # fmt: skip
def test_mistakes_are_named(act, parts):
    with pytest.raises(nnx.ConfigurationError) as caught:
        act()
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def test_a_layer_belongs_to_one_place():
    dense = nnx.Dense(6)
    block = nnx.Residual([dense])
    for act in (lambda: nnx.Network([dense]), lambda: nnx.Sequential([dense])):
        with pytest.raises(nnx.ConfigurationError, match="belongs"):
            act()
    nnx.Network([block]).build(6)
    with pytest.raises(nnx.ConfigurationError, match="belongs"):
        nnx.Sequential([block])


def test_what_does_not_fit_changes_nothing():
    made = nnx.Network([nnx.Residual([nnx.Dense(5), nnx.Dense(5)])])
    with pytest.raises(nnx.ConfigurationError, match="projection"):
        made.build(6)
    assert made[0].branches[0][0].inputs is None
    assert made.build(5).output_shape == (5,)


@pytest.mark.parametrize("change", ["deep", "kind", "type", "trainable"])
def test_hostile_descriptions_of_containers_are_refused(change, tmp_path):
    path = tmp_path / "net.safetensors"
    nnx.Network([nnx.Sequential([nnx.Dense(2)])]).build(2).save(path)
    size = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + size])["__metadata__"]
    config = json.loads(header["network"])
    entry = config["layers"][0]
    if change == "deep":
        text = '{"kind": "Sequential", "trainable": true, "config": {"layers": ['
        header["network"] = header["network"].replace(
            json.dumps(entry), text * 300 + json.dumps(entry) + "]}}" * 300
        )
    else:
        inner = entry["config"]["layers"][0]
        inner[change if change != "type" else "config"] = {"kind": "Nothing", "type": 3, "trainable": "no"}[
            change
        ]
        header["network"] = json.dumps(config)
    weights = load_file(path)
    header["crc32"] = checkpoints.checksum(weights, header)
    save_file(weights, path, header)
    with pytest.raises(nnx.FileFormatError) as caught:
        nnx.load(path)
    assert "\n" not in str(caught.value)
