"""``nnx train``: schedules by name, the search for a learning rate, averages and several batches a step."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.command_line import invoke
from support.own_files import iris
from support.own_models import here, trained  # noqa: F401

import nnx
from nnx.experiments.train.config import Config
from nnx.experiments.train.networks import make_optimizer
from nnx.reports import write_report

pytestmark = pytest.mark.usefixtures("on_cpu")
SHORT = ("--target", "species", "--epochs", 3)


def test_a_rate_is_found_and_used():
    iris()
    result = trained("iris.csv", *SHORT, "--find-lr", "--schedule", "one_cycle", out="found")
    rate = result["metrics"]["learning_rate"]
    assert 1e-7 < rate < 10
    assert any(f"{rate:g}" in note for note in result["notes"])
    assert Path("found/figures/learning_rates.png").is_file()
    assert result["config"]["learning_rate"] is None
    by_hand = trained("iris.csv", *SHORT, "--learning-rate", rate, "--schedule", "one_cycle", out="by_hand")
    assert by_hand["metrics"]["validation_loss"] == result["metrics"]["validation_loss"]
    text = write_report(["found", "by_hand"], "both.html").read_text(encoding="utf-8")
    assert text.count("search for a learning rate, which rises from 1e-07") >= 1


def test_a_given_rate_and_a_search_are_refused():
    iris()
    with pytest.raises(nnx.ConfigurationError, match="remove one of the two"):
        invoke("train", "iris.csv", *SHORT, "--find-lr", "--learning-rate", 0.1)


@pytest.mark.parametrize(
    ("name", "kind"), [("cosine", nnx.Cosine), ("one_cycle", nnx.OneCycle), ("restarts", nnx.WarmRestarts)]
)
def test_a_schedule_covers_all_steps_also_in_groups(name, kind):
    config = Config("x", schedule=name, learning_rate=0.2, group=("*.b learning_rate=0.4",))
    optimizer = make_optimizer(config, 70)
    assert type(optimizer.schedule) is kind
    rates = [optimizer.schedule(step) for step in range(70)]
    assert max(rates) == pytest.approx(0.2)
    assert rates[-1] < 0.01
    group = nnx.schedules.get(optimizer.groups["*.b"]["learning_rate"])
    assert [group(step) for step in range(70)] == pytest.approx([2 * rate for rate in rates])


def test_averages_and_several_batches_a_step():
    iris()
    result = trained("iris.csv", *SHORT, "--average", 0.9, "--accumulate", 2, "--batch-size", 16, out="both")
    assert result["timing"]["steps"] == 3 * 4  # 120 rows
    plain = trained("iris.csv", *SHORT, "--batch-size", 32, out="plain")
    assert plain["timing"]["steps"] == 3 * 4
    assert plain["metrics"]["validation_loss"] != result["metrics"]["validation_loss"]
    again = nnx.load("both/model.safetensors")
    assert again.parameter_count() == nnx.load("plain/model.safetensors").parameter_count()


def test_the_rate_on_a_plateau_is_in_the_history():
    iris()
    trained("iris.csv", *SHORT, "--schedule", "plateau", out="plateau")
    head = Path("plateau/history.csv").read_text(encoding="utf-8").splitlines()[0]
    assert "learning_rate" in head.split(",")


@pytest.mark.parametrize(("option", "value"), [("average", 1), ("average", 0), ("accumulate", 0)])
def test_wrong_values_are_refused(option, value):
    iris()
    with pytest.raises(nnx.ConfigurationError, match=f"--{option}: must be"):
        invoke("train", "iris.csv", *SHORT, f"--{option}", value)


def test_a_file_of_options_has_true_or_false():
    assert Config.of("x", {}, _file("find_lr = true\naverage = 0.99\n")).find_lr is True
    with pytest.raises(nnx.ConfigurationError, match="find_lr: must be true or false, not 'yes'"):
        Config.of("x", {}, _file('find_lr = "yes"\n'))


def _file(text: str) -> str:
    Path("run.toml").write_text(text, encoding="utf-8")
    return "run.toml"


def test_statistics_are_in_history_figure_and_report():
    iris()
    trained("iris.csv", *SHORT, "--statistics", out="watched")
    head = Path("watched/history.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    assert {"gradient_norm/dense_1", "weight_norm/dense_3", "update_ratio/dense_2"} < {*head}
    assert Path("watched/figures/statistics.png").is_file()
    text = write_report(["watched"], "again.html").read_text(encoding="utf-8")
    assert "norm of the update / norm of the weights" in text
