"""The page of all runs, for the tests that read it."""

from __future__ import annotations

import pytest
from support.report_pages import read

from nnx import reports


@pytest.fixture(scope="session")
def both(run_folders, tmp_path_factory):
    """The page of all runs."""
    out = tmp_path_factory.mktemp("both") / "all.html"
    return read(reports.write_report(list(run_folders.values()), out))
