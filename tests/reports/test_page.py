"""The page of a run: its contents, that it can be written again, and how it treats wrong files."""

from __future__ import annotations

import itertools
import json
import re

import numpy as np
import pytest
from click.testing import CliRunner
from support.command_line import command
from support.report_pages import read, unchecked

from nnx import reports
from nnx.callbacks import History
from nnx.cli.main import cli
from nnx.errors import ConfigurationError, FileFormatError, NnxError, OutputError
from nnx.experiments import Result, environment
from nnx.experiments.result import read_run
from nnx.reports import evidence, facts

EVIL = "\"><img src=x onerror=alert(1)><script>alert(2)</script>'$x$&amp;"


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


@pytest.mark.parametrize("name", ["autoencoder", "variational", "svm", "xor", "compare", "values"])
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
    drawn = ["Reconstructions", "Code map", "New images and the code"]
    assert headings["variational"] == ["Results", "Learning curves", *drawn, *rest]
    assert headings["svm"] == ["Results", "Confusion matrix", *rest]
    assert headings["train"] == ["Results", "Learning curves", "Confusion matrix", *rest]
    assert headings["values"] == ["Results", "Learning curves", "Predicted values", *rest]
    assert headings["xor"] == ["Results", "Learning curves", "Predictions", *rest]
    assert headings["compare"] == ["Results", "nnx and other frameworks", "Learning curves", *rest]


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
    assert set(found) == {"python", "system", "machine", "processor", "cores", "threads", "blas"}
    assert all(found.values())
    assert found["cores"] >= 1


def test_a_confusion_matrix_promises_images_only_where_there_are_some(run_folders):
    assert "opens its test images" in read(run_folders["svm"] / "report.html").text
    assert "test images" not in read(run_folders["train"] / "report.html").text


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
