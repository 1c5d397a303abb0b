"""The page of a run: its contents, that it can be written again, and how it treats wrong files."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import shutil
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from support.command_line import command

from nnx import reports
from nnx.callbacks import History
from nnx.cli import show
from nnx.cli.main import cli
from nnx.errors import ConfigurationError, FileFormatError, NnxError, OutputError
from nnx.experiments import Result, environment, svm
from nnx.experiments.result import read_run
from nnx.experiments.train.config import RULES, Config
from nnx.reports import charts, evidence, facts

VOID = {"meta", "link", "img", "input"}
EVIL = "\"><img src=x onerror=alert(1)><script>alert(2)</script>'$x$&amp;"


class Page(HTMLParser):
    """Elements with their attributes, and the text that is shown; unbalanced tags are an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements, self.open, self.text = [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def read(path):
    return Page(Path(path).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def both(run_folders, tmp_path_factory):
    out = tmp_path_factory.mktemp("both") / "all.html"
    return read(reports.write_report(list(run_folders.values()), out))


# --------------------------------------------------------------------------- what stands on it


def test_the_page_of_a_run_says_what_ran_and_how_to_run_it_again(run_folders):
    page = read(run_folders["xor"] / "report.html")
    result = json.loads((run_folders["xor"] / "result.json").read_text())
    assert page.all("title") == [{}]
    for said in (
        "xor deep on xor", f"computed on cpu by {result['backend']} in float32, seed 0",
        facts.command(Result(**{k: v for k, v in result.items() if k != "result_version"})),
        json.dumps(result["config"], indent=2), result["environment"]["processor"],
        result["environment"]["system"], result["versions"]["numpy"], f"{result['metrics']['loss']:.5g}",
    ):  # fmt: skip
        assert said in page.text, said
    assert "1,000" in page.text  # epochs, on the axis


@pytest.mark.parametrize("name", ["autoencoder", "svm", "xor", "compare", "values"])
def test_the_page_can_be_made_again_from_the_folder_alone(run_folders, tmp_path, name):
    folder = tmp_path / name
    unchecked(run_folders[name], folder)
    first = (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    assert reports.write_report([folder]) == folder / "report.html"
    again = (folder / "report.html").read_bytes()
    assert b"report.html" not in first
    assert again == first


def test_each_part_is_shown_where_the_run_has_it(run_folders):
    headings = {}
    for name, folder in run_folders.items():
        text = (folder / "report.html").read_text(encoding="utf-8")
        headings[name] = re.findall(r"<h2[^>]*>([^<]+)<", text)
    rest = ["Timing", "Setting", "Run it again"]
    assert headings["autoencoder"] == ["Results", "Learning curves", "Reconstructions", "Code map", *rest]
    assert headings["svm"] == ["Results", "Confusion matrix", *rest]
    assert headings["train"] == ["Results", "Learning curves", "Confusion matrix", *rest]
    assert headings["values"] == ["Results", "Learning curves", "Predicted values", *rest]
    assert headings["xor"] == ["Results", "Learning curves", "Predictions", *rest]
    assert headings["compare"] == ["Results", "nnx and other frameworks", "Learning curves", *rest]


def test_every_misread_digit_is_behind_its_cell(run_folders):
    page = read(run_folders["svm"] / "report.html")
    matrix = np.array(
        json.loads((run_folders["svm"] / "result.json").read_text())["metrics"]["confusion_matrix"]
    )
    wrong = matrix - np.diag(np.diag(matrix))
    assert wrong.sum() > 20, "the classifier is meant to err"
    cells = {(int(b["data-row"]), int(b["data-column"])) for b in page.all("button")}
    assert cells == set(zip(*np.nonzero(wrong), strict=True))
    pictures = [one for one in page.all("img") if "read as" in one["alt"]]
    assert len(pictures) == np.minimum(wrong, evidence.A_CELL).sum()
    panels = {one["id"] for one in page.all("div") if one.get("class") == "panel"}
    assert {b["aria-controls"] for b in page.all("button")} == panels


def test_the_page_names_no_other_file_and_lets_only_its_own_script_run(run_folders, both):
    for page in (both, *(read(folder / "report.html") for folder in run_folders.values())):
        for _, attributes in page.elements:
            for name in ("src", "href", "srcset", "action", "data"):
                assert attributes.get(name, "#").startswith(("#", "data:")), attributes
            assert not [name for name in attributes if name.startswith("on")]
        policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m)
        assert policy.startswith("default-src 'none'; img-src data:;")
        assert "script-src 'sha256-" in policy


def test_the_page_can_be_heard_and_walked_through(both):
    ids = [attributes["id"] for _, attributes in both.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert both.all("html") == [{"lang": "en"}]
    assert [len(both.all(tag)) for tag in ("h1", "main", "nav", "header", "footer")] == [1] * 5
    assert all(image["alt"] for image in both.all("img"))
    assert all(cell.get("scope") in ("row", "col") for cell in both.all("th"))
    assert len(both.all("caption")) == len(both.all("table"))
    assert {label["for"] for label in both.all("label")} == {one["id"] for one in both.all("input")}
    for name in ("aria-labelledby", "aria-controls", "for"):
        assert {a[name] for _, a in both.elements if name in a} <= set(ids)
    assert {link["href"][1:] for link in both.all("a")} <= set(ids)
    levels = [int(tag[1]) for tag, _ in both.elements if re.fullmatch(r"h\d", tag)]
    assert all(deeper - level <= 1 for level, deeper in itertools.pairwise(levels))
    drawings = both.all("svg")
    assert len(both.all("details")) >= len(drawings)  # a table stands beside each drawing
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in drawings)


def test_several_runs_stand_side_by_side(run_folders, tmp_path):
    out = reports.write_report([run_folders["xor"], run_folders["other"]], tmp_path / "deep" / "two.html")
    text = out.read_text(encoding="utf-8")
    assert "xor, training" in text
    assert "other, training" in text
    assert len(re.findall(r'class="card chart"', text)) == 1
    assert re.search(r'class="?differs"?><th scope="row">preset</th><td>deep</td><td>shallow</td>', text)
    assert re.search(r'<tr><th scope="row">seed</th><td>0</td><td>0</td>', text)


def test_runs_are_called_by_as_much_of_their_path_as_tells_them_apart():
    assert facts.names(["/a/x", "/a/y"]) == ["x", "y"]
    assert facts.names(["/a/x", "/b/x"]) == ["a/x", "b/x"]
    assert facts.names(["C:\\a\\x", "C:\\b\\x"]) == ["a/x", "b/x"]
    assert facts.names(["/a", "/a"]) == ["/a (1)", "/a (2)"]


def test_the_command_to_train_again_gives_the_same_configuration(run_folders):
    words = shlex.split(facts.command(read_run(run_folders["train"])))
    given = cli.commands["train"].make_context("train", words[2:]).params
    assert (words[:2], given["task"], given["target"]) == (["nnx", "train"], "classification", "place")
    options = {name: RULES[name].parsed(value) for name, value in given.items() if name in RULES and value}
    again = asdict(Config.of(given["data"], options))
    stored = read_run(run_folders["train"]).config
    again = json.loads(json.dumps(again)) | {"device": None}
    assert again == stored | {"device": None}


@pytest.mark.parametrize("name", ["autoencoder", "svm", "xor"])
def test_the_command_to_run_again_is_one_that_nnx_takes(run_folders, name):
    result = read_run(run_folders[name])
    words = shlex.split(facts.command(result))
    assert words[0] == "nnx"
    given = cli.commands["run"].get_command(None, result.experiment).make_context(name, words[3:])
    asked = {key: value for key, value in result.config.items() if value is not None and key != "device"}
    if name == "svm":
        del asked["dtype"]  # the model's own
        by_user = {key for key in given.params if given.get_parameter_source(key).name == "COMMANDLINE"}
        assert svm.check(svm.Config(given.params["model"]), by_user) == ""
    assert asked.items() <= given.params.items()
    assert given.params["device"] == result.backend


def test_the_command_of_a_comparison_names_the_frameworks_by_their_option():
    config = {
        "minutes": 2.0,
        "dataset": "digits",
        "seed": 3,
        "threads": None,
        "frameworks": ["keras", "torch"],
    }
    result = Result("compare", "", "digits", "cpu", "numpy", "float32", 3, config=config)
    words = shlex.split(facts.command(result))
    assert " ".join(words[:5]) == "nnx run compare --minutes 2.0"
    given = cli.commands["run"].get_command(None, "compare").make_context("compare", words[3:]).params
    assert given["frameworks"] == ("keras", "torch")


def test_a_flag_is_given_where_it_was_given():
    def of(value):
        return facts.command(
            Result("xor", "deep", "xor", "gpu:0", "cupy", "float32", 0, config={"tf32": value})
        )

    assert of(True) == "nnx run xor --tf32 --device gpu:0"
    assert of(False) == "nnx run xor --device gpu:0"


def test_a_history_is_read_as_it_was_written_whatever_its_names(run_folders, tmp_path):
    history = History()
    history.epochs, odd = [1, 2], 'a,"b"\n\u2028\x85;$x$'
    history.metrics = {"loss": [1.0, float("nan")], odd: [0.1, float("inf")]}
    folder = tmp_path / "run"
    unchecked(run_folders["xor"], folder)
    history.write_csv(folder / "history.csv")
    read_back = read_run(folder).history
    assert read_back.epochs == [1, 2]
    assert repr(read_back.metrics) == repr(history.metrics)


def test_the_environment_names_the_machine():
    found = environment.environment("cpu")
    assert set(found) == {"python", "system", "machine", "processor", "cores", "threads"}
    assert all(found.values())
    assert found["cores"] >= 1


# ------------------------------------------------------------------------------ charts and numbers


def test_a_chart_leaves_gaps_and_says_so():
    curve = charts.Curve("loss", [1, 2, 3, 4], [1.0, float("nan"), 0.5, float("inf")])
    drawn = charts.chart("loss", [curve])
    assert drawn.lines[0].heights[1] is None
    assert drawn.lines[0].path.count("M") == 2
    assert [values for _, (values,) in drawn.rows()] == ["1", "not finite", "0.5", "not finite"]
    assert drawn.summary() == "loss over 4 epochs: loss from 1 to 0.5"
    assert charts.chart("loss", [charts.Curve("loss", [1], [float("nan")])]) is None


@pytest.mark.parametrize("values", [[1.0], [0.0, 0.0], [1e199, -1e199, 3.0], [1e-320, 1e199], [5.0, 5.0]])
def test_any_finite_values_have_axes(values):
    drawn = charts.chart("loss", [charts.Curve("", range(1, len(values) + 1), values)])
    heights = drawn.lines[0].heights
    assert all(0 <= height <= 1000 for height in heights)
    assert drawn.y_ticks
    json.dumps(drawn.data(), allow_nan=False)


def test_a_long_curve_is_thinned_and_keeps_its_ends():
    drawn = charts.chart("loss", [charts.Curve("", range(1, 20_001), np.arange(20_000.0, 0, -1).tolist())])
    assert (len(drawn.positions), drawn.total) == (charts.MOST_POSITIONS, 20_000)
    assert (drawn.positions[0], drawn.positions[-1]) == (1, 20_000)
    assert len(drawn.rows()) == charts.MOST_ROWS


def test_codes_keep_their_shape_and_their_classes():
    points = np.array([[0.0, 0.0], [4.0, 1.0], [np.nan, 1.0]])
    drawn = charts.code_map(points, np.array(["a", "b", "b"]), np.array([0.6, 0.3]))
    assert [(group.label, group.count) for group in drawn.groups] == [("a", 1), ("b", 1)]
    (left, low), (right, high) = (group.middle for group in drawn.groups)
    assert (right - left) == pytest.approx(4 * (low - high))


def made(experiment, metrics, **other):
    return Result(
        experiment, "", other.pop("dataset", "mnist"), "cpu", "numpy", "float32", 0, metrics, **other
    )


@pytest.mark.parametrize(
    ("experiment", "metrics", "sentence"),
    [
        ("autoencoder", {"test_mse": 0.77e-2, "pca_test_mse": 1e-2}, "23% less error than PCA of the same"),
        ("autoencoder", {"test_mse": 1.5e-2, "pca_test_mse": 1e-2}, "50% more error than PCA of the same"),
        ("svm", {"accuracy": 0.99, "pca_accuracy": 0.98, "mcnemar": {"p_value": 0.0012}},
         "50% fewer errors than an SVM on PCA of the same size: accuracy 99.00% against 98.00% "
         "(McNemar's test: p = 0.0012)."),
        ("svm", {"accuracy": 0.96, "pca_accuracy": 0.99}, "300% more errors than an SVM on PCA"),
        ("svm", {"accuracy": 0.96, "pca_accuracy": 1.0}, "More errors than an SVM on PCA"),
        ("svm", {"accuracy": 0.99, "pca_accuracy": 0.99}, "As accurate as an SVM on PCA"),
        ("train", {"accuracy": 0.8, "majority_accuracy": 1 / 3}, "most common class gives 33.3%."),
        ("train", {"r2": 0.372}, "37% less squared error"),
        ("train", {"r2": -0.5}, "50% more squared error"),
        ("xor", {"accuracy": 0.75}, "3 of the 4 cases are right."),
        ("compare", {"speedup": {"deep": {"keras": 1.9, "keras_xla": 1.5}}},
         "takes 1.5 times as long in Keras with XLA as in nnx."),
        ("compare", {"speedup": {"deep": {"keras": 0.5, "keras_xla": 1.5}}},
         "takes 2 times as long in nnx as in Keras."),
        ("compare", {"speedup": {"classifier": {"sklearn": 3.0}}},
         "a step of the classifier takes 3 times as long in scikit-learn as in nnx."),
        ("compare", {"agree": False}, ""),
        ("autoencoder", {"test_mse": float("nan"), "pca_test_mse": 1e-2}, ""),
    ],
)  # fmt: skip
def test_a_sentence_says_what_a_run_reached(experiment, metrics, sentence):
    assert sentence in facts.verdict(made(experiment, metrics))
    assert bool(facts.verdict(made(experiment, metrics))) == bool(sentence)


def test_runs_on_different_data_are_marked(run_folders, tmp_path, both):
    assert "Different data" in both.text
    page = read(reports.write_report([run_folders["xor"], run_folders["other"]], tmp_path / "same.html"))
    assert "Different data" not in page.text
    rows = {"rows": 120, "validation_rows": 30}
    runs = [made("train", rows, config={"seed": seed}, dataset="iris.csv") for seed in (0, 1)]
    assert len(facts.different_data(runs)) == 2  # other rows were held out
    assert facts.different_data(runs[:1] * 2) == []


def test_a_confusion_matrix_promises_images_only_where_there_are_some(run_folders):
    assert "opens its test images" in read(run_folders["svm"] / "report.html").text
    assert "test images" not in read(run_folders["train"] / "report.html").text


@pytest.mark.parametrize("name", ["autoencoder", "svm", "train", "values"])
def test_figures_have_the_names_that_the_terminal_prints(run_folders, name, capsys):
    result = read_run(run_folders[name])
    result.timing |= {"steps": 0.0, "total_seconds": 1.0}  # which the command adds at its end
    show.result(result, run_folders[name])
    printed = " ".join(capsys.readouterr().out.split())
    assert [one for one in facts.metrics(result) if one not in printed] == []


def test_curves_that_coincide_are_shown_by_their_difference(run_folders):
    page = read(run_folders["compare"] / "report.html")
    drawn = [svg["aria-label"] for svg in page.all("svg")]
    assert [name for name in drawn if "relative difference to nnx" in name] == [
        "deep loss: relative difference to nnx over 50 steps: Keras from 1e-09 to 5e-08".replace(
            "steps", "epochs"
        )
    ]


def test_ticks_close_together_keep_the_digits_that_tell_them_apart():
    values = [0.25981, 0.259812, 0.259813]
    drawn = charts.chart("loss", [charts.Curve("a", [1, 2, 3], values)])
    assert len({tick.text for tick in drawn.y_ticks}) == len(drawn.y_ticks)
    drawn = charts.chart("difference", [charts.Curve("a", [1, 2, 3], [1e-15, 3e-14, 1e-13])])
    assert "0" not in {tick.text for tick in drawn.y_ticks}


def unchecked(run, folder):
    """A copy of a run without checksums, as version 0.1 wrote them, or somebody who means harm."""
    shutil.copytree(run, folder)
    stored = json.loads((folder / "result.json").read_text())
    del stored["checksums"]
    (folder / "result.json").write_text(json.dumps(stored))


# ------------------------------------------------------------------------------------------- lies


@pytest.fixture
def hostile(run_folders, tmp_path):
    """A run whose every text is an attack."""
    folder = tmp_path / EVIL.replace("/", "∕")
    unchecked(run_folders["autoencoder"], folder)
    stored = json.loads((folder / "result.json").read_text())
    for name in ("preset", "dataset", "device", "backend", "dtype"):
        stored[name] = EVIL
    for name in ("metrics", "versions", "environment", "config"):
        stored[name] |= {EVIL: EVIL}
    stored |= {"notes": [EVIL], "timing": stored["timing"] | {EVIL: 1.0}}
    (folder / "result.json").write_text(json.dumps(stored))
    (folder / "history.csv").write_text(
        'epoch,loss,"' + EVIL.replace('"', '""') + '"\n1,2.0,3.0\n2,1.0,2.0\n'
    )
    kept = evidence.read(folder / evidence.FILE)
    kept["image_labels"] = np.full(len(kept["image_labels"]), EVIL)
    kept["point_labels"] = np.full(len(kept["point_labels"]), EVIL)
    evidence.write(kept, folder / evidence.FILE)
    return folder


def test_values_are_drawn_over_true_ones_target_by_target(run_folders):
    page = read(run_folders["values"] / "report.html")
    drawn = [svg["aria-label"] for svg in page.all("svg")][-2:]
    assert drawn == [
        f"{name}: predicted over true values of 7 rows, with the diagonal" for name in ("sum", "difference")
    ]
    errors = read_run(run_folders["values"]).metrics["by_target"]
    assert all(f"{one['r2']:.5g}" in page.text for one in errors.values())
    assert charts.scatter("", np.array([np.nan]), np.array([1.0])) is None


def test_names_that_are_attacks_are_shown_as_text(hostile, run_folders, tmp_path):
    page = read(reports.write_report([hostile]))
    assert len(page.all("script")) == 1
    assert not [one for one in page.all("img") if not one["src"].startswith("data:")]
    assert EVIL in page.text
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")]
    charted = [json.loads(figure["data-chart"]) for figure in page.all("figure")]
    assert [line["label"] for chart in charted for line in chart["lines"]] == ["training"] * 2
    assert EVIL in page.all("svg")[1]["aria-label"]
    two = read(reports.write_report([hostile, run_folders["autoencoder"]], tmp_path / "two.html"))
    assert len(two.all("script")) == 1


DAMAGE = {
    "result.json": ["", "[1]", "{", '{"result_version": 2}', '{"result_version": 1}', "[" * 100_000, "\xff"],
    "history.csv": ["", "epoch,loss\n1\n", "epoch,loss\nx,1\n", "epoch,loss\n1,y\n", "loss\n"],
}


@pytest.mark.parametrize(("name", "text"), [(n, t) for n, many in DAMAGE.items() for t in many], ids=repr)
def test_a_damaged_file_is_named_in_one_line(run_folders, tmp_path, name, text):
    folder = tmp_path / "run"
    unchecked(run_folders["xor"], folder)
    (folder / "report.html").unlink()
    (folder / name).write_text(text, encoding="latin-1")
    with pytest.raises(FileFormatError) as caught:
        reports.write_report([folder])
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"misread": np.zeros((3, 8, 8))}, "bytes"),
        ({"misread_true": np.zeros(2)}, "differ in length"),
        ({"misread_index": None}, "belong together"),
        ({"classes": np.arange(3)}, "confusion_matrix"),
        ({"points": np.zeros((3, 3)), "point_labels": np.zeros(3)}, "plane"),
        ({"misread": np.zeros((3, 8), np.uint8)}, "misread, .* axes"),
        ({"surface": np.zeros((2, 2), np.uint8)}, "surface"),
        ({"deep_nnx": np.ones(3), "deep_epochs": np.ones(2)}, "deep_epochs"),
    ],
)
def test_evidence_that_does_not_fit_is_refused(run_folders, tmp_path, changes, what):
    folder = tmp_path / "run"
    unchecked(run_folders["svm"], folder)
    kept = evidence.read(folder / evidence.FILE) | changes
    evidence.write({name: array for name, array in kept.items() if array is not None}, folder / evidence.FILE)
    with pytest.raises(FileFormatError, match=what):
        reports.write_report([folder])


def test_evidence_is_read_without_unpickling(run_folders, tmp_path):
    folder = tmp_path / "run"
    unchecked(run_folders["svm"], folder)
    np.savez(folder / evidence.FILE, misread=np.array([{}], dtype=object))
    with pytest.raises(FileFormatError, match=r"report\.npz"):
        reports.write_report([folder])
    (folder / evidence.FILE).write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(FileFormatError, match=r"report\.npz"):
        reports.write_report([folder])


@pytest.mark.parametrize("matrix", [[[1, 2]], [[1, -1], [0, 1]], "text", [[1], [2, 3]], 7])
def test_a_confusion_matrix_that_is_none_is_refused(run_folders, tmp_path, matrix):
    folder = tmp_path / "run"
    unchecked(run_folders["svm"], folder)
    stored = json.loads((folder / "result.json").read_text())
    stored["metrics"]["confusion_matrix"] = matrix
    (folder / "result.json").write_text(json.dumps(stored))
    with pytest.raises(FileFormatError, match="the result of run does not fit"):
        reports.write_report([folder])


def test_an_older_run_without_evidence_and_environment_is_reported(run_folders, tmp_path):
    folder = tmp_path / "run"
    unchecked(run_folders["svm"], folder)
    (folder / evidence.FILE).unlink()
    stored = json.loads((folder / "result.json").read_text())
    del stored["environment"]
    (folder / "result.json").write_text(json.dumps(stored))
    page = read(reports.write_report([folder]))
    assert "not recorded" in page.text
    assert page.all("button") == []


# ------------------------------------------------------------------------------- the command line


def test_the_command_writes_and_says_where(run_folders, tmp_path):
    done = command(tmp_path, "report", run_folders["xor"], run_folders["other"])
    assert (done.returncode, done.stdout, done.stderr) == (0, "report.html\n", "")
    assert "side by side" not in done.stdout
    assert read(tmp_path / "report.html").all("h1")


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        ([], 2, "RUN"),
        (["nowhere"], 2, "nowhere"),
        (["."], 1, "no result.json"),
        (["xor", "--out", "a.txt"], 2, ".html"),
    ],
)
def test_a_mistake_is_one_line(run_folders, tmp_path, answer, arguments, status, text):
    (tmp_path / "xor").symlink_to(run_folders["xor"])
    done = answer("report", *arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_help_loads_no_template_engine(tmp_path):
    assert "nnx report runs/best" in CliRunner().invoke(cli, ["report", "--help"]).output


def test_mistakes_of_a_caller_are_named(run_folders, tmp_path):
    with pytest.raises(ConfigurationError, match="no run"):
        reports.write_report([])
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        reports.write_report([run_folders["xor"]], tmp_path / "file" / "x.html")
    with pytest.raises(NnxError, match=r"no result\.json"):
        reports.write_report([tmp_path])
