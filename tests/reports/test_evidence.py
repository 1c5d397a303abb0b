"""What is stored for a report is read back, or refused if it does not fit; no pickle is loaded."""

from __future__ import annotations

import numpy as np
import pytest
from support.report_pages import unchecked

from nnx import reports
from nnx.errors import FileFormatError
from nnx.reports import evidence


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
