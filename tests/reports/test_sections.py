"""Each part of the page shows what the run stored, and a result that does not fit is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.report_pages import read, unchecked

from nnx import reports
from nnx.errors import FileFormatError
from nnx.experiments.result import read_run
from nnx.reports import charts, evidence


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


def test_curves_that_coincide_are_shown_by_their_difference(run_folders):
    page = read(run_folders["compare"] / "report.html")
    drawn = [svg["aria-label"] for svg in page.all("svg")]
    assert [name for name in drawn if "relative difference to nnx" in name] == [
        "deep loss: relative difference to nnx over 50 steps: Keras from 1e-09 to 5e-08".replace(
            "steps", "epochs"
        )
    ]


def test_values_are_drawn_over_true_ones_target_by_target(run_folders):
    page = read(run_folders["values"] / "report.html")
    drawn = [svg["aria-label"] for svg in page.all("svg")][-2:]
    assert drawn == [
        f"{name}: predicted over true values of 7 rows, with the diagonal" for name in ("sum", "difference")
    ]
    errors = read_run(run_folders["values"]).metrics["by_target"]
    assert all(f"{one['r2']:.5g}" in page.text for one in errors.values())
    assert charts.scatter("", np.array([np.nan]), np.array([1.0])) is None


@pytest.mark.parametrize("matrix", [[[1, 2]], [[1, -1], [0, 1]], "text", [[1], [2, 3]], 7])
def test_a_confusion_matrix_that_is_none_is_refused(run_folders, tmp_path, matrix):
    folder = tmp_path / "run"
    unchecked(run_folders["svm"], folder)
    stored = json.loads((folder / "result.json").read_text())
    stored["metrics"]["confusion_matrix"] = matrix
    (folder / "result.json").write_text(json.dumps(stored))
    with pytest.raises(FileFormatError, match="the result of run does not fit"):
        reports.write_report([folder])


def test_filters_and_maps_are_shown_for_an_image_of_each_class(run_folders):
    page = read(run_folders["classifier"] / "report.html")
    assert len([one for one in page.all("img") if one.get("class") == "filter"]) == 32
    maps = [one["alt"] for one in page.all("img") if one["alt"].startswith("activation maps")]
    assert maps == [f"activation maps of test image {digit}, darker is stronger" for digit in range(10)]
    assert sum("open" in one for one in page.all("details") if one.get("class") == "maps") == 1
    assert "Filters and activation maps" not in read(run_folders["svm"] / "report.html").text


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"filters": np.zeros((3, 3, 3, 2), np.uint8)}, "filters"),
        ({"maps": np.zeros((10, 8, 8))}, "bytes"),
        ({"map_labels": np.arange(3)}, "differ in length"),
        ({"map_layers": None}, "maps are not maps of images"),
        ({"map_images": np.zeros((10, 8, 8, 2), np.uint8)}, "maps are not maps of images"),
    ],
)
def test_filters_and_maps_that_do_not_fit_are_refused(run_folders, tmp_path, changes, what):
    folder = tmp_path / "run"
    unchecked(run_folders["classifier"], folder)
    kept = evidence.read(folder / evidence.FILE) | changes
    evidence.write({name: array for name, array in kept.items() if array is not None}, folder / evidence.FILE)
    with pytest.raises(FileFormatError, match=what):
        reports.write_report([folder])


def test_new_images_walks_and_each_number_of_the_code_are_shown(run_folders):
    page = read(run_folders["variational"] / "report.html")
    kept = evidence.read(run_folders["variational"] / evidence.FILE)
    alts = [one["alt"] for one in page.all("img")]
    assert sum(alt.startswith("new image ") for alt in alts) == 40
    assert (
        alts.count("reconstruction of the first image")
        == alts.count("reconstruction of the second image")
        == 4
    )
    assert alts.count("between the two") == 4 * 8
    metrics = read_run(run_folders["variational"]).metrics
    assert kept["code_kl"].sum() == pytest.approx(metrics["test_kl"], rel=1e-6)
    assert metrics["active_numbers"] == (kept["code_spread"] > 0.01).sum()
    assert f"{metrics['active_numbers']} of the 16 numbers of the code are active" in page.text
    assert all(f"{value:.5g}" in page.text for value in kept["code_kl"])


def test_numbers_of_a_code_that_hold_nothing_are_grey(run_folders, tmp_path):
    folder = tmp_path / "run"
    unchecked(run_folders["variational"], folder)
    kept = evidence.read(folder / evidence.FILE)
    kept["code_spread"] = np.where(np.arange(16) < 3, 0.5, 0.001)
    evidence.write(kept, folder / evidence.FILE)
    page = read(reports.write_report([folder]))
    assert "3 of the 16 numbers of the code are active" in page.text
    classes = [one["class"] for one in page.all("path") if one.get("class", "").startswith("bar")]
    assert sorted(classes) == ["bar"] * 3 + ["bar dim"] * 13
    evidence.write(kept | {"code_kl": np.full(16, np.nan)}, folder / evidence.FILE)
    page = read(reports.write_report([folder]))
    assert not [one for one in page.all("path") if one.get("class", "").startswith("bar")]


@pytest.mark.parametrize("changes", [{"code_spread": None}, {"samples": np.zeros((4, 8, 8))}])
def test_new_images_that_do_not_fit_are_refused(run_folders, tmp_path, changes):
    folder = tmp_path / "run"
    unchecked(run_folders["variational"], folder)
    kept = evidence.read(folder / evidence.FILE) | changes
    evidence.write({name: array for name, array in kept.items() if array is not None}, folder / evidence.FILE)
    with pytest.raises(FileFormatError, match=r"belong together|bytes"):
        reports.write_report([folder])
