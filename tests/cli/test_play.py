"""``nnx play``: the page is written and opened; mistakes are one line."""

from __future__ import annotations

import webbrowser

import pytest
from support.command_line import invoke

from nnx.errors import ConfigurationError


@pytest.fixture
def opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pages = []
    monkeypatch.setattr(webbrowser, "open_new_tab", lambda url: pages.append(url) or True)
    return pages


def test_it_writes_the_page_and_opens_it(opened, tmp_path):
    assert invoke("play").stdout == "playground.html\n"
    assert opened == [(tmp_path / "playground.html").as_uri()]


def test_the_form_of_a_table_can_be_given(opened, tmp_path):
    """A line of years above numbers may be names or not: the error names an option, which helps."""
    (tmp_path / "years.csv").write_text("2019,2020\n1.5,2\n2.5,3\n3.5,4\n4.5,5\n")
    with pytest.raises(ConfigurationError, match="--header yes"):
        invoke("play", "years.csv", "--no-open")
    invoke("play", "years.csv", "--header", "yes", "--delimiter", "comma", "--no-open")
    page = (tmp_path / "playground.html").read_text(encoding="utf-8")
    assert '"name":"2019"' in page
    assert "1.5" in page


def test_without_opening_with_data_of_ones_own(opened, tmp_path):
    (tmp_path / "trees.csv").write_text("height,kind\n1,oak\n2,elm\n3,oak\n4,elm\n")
    invoke("play", "trees.csv", "--target", "kind", "--out", "class/trees.html", "--no-open")
    assert opened == []
    assert '"name":"trees.csv"' in (tmp_path / "class" / "trees.html").read_text(encoding="utf-8")
