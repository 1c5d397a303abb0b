"""What all web pages share: the name of the file, the head, and that only the page's script runs."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest
from support.rooms import ROOT

import nnx
from nnx.errors import ConfigurationError, OutputError
from nnx.web_pages import page_path, rendered, templates, write_page

PAGES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("page.html"))


@pytest.mark.parametrize("name", ["a.html", "a.HTM", "folder.txt/a.html"])
def test_the_name_of_a_page_ends_in_html(name, tmp_path):
    assert page_path(str(tmp_path / name), "a page") == tmp_path / name


@pytest.mark.parametrize("name", ["a", "a.txt", "a.html.gz", ".html"])
def test_another_name_is_refused(name):
    with pytest.raises(ConfigurationError, match=rf"^{name}: the plot is a web page, .* must end in \.html$"):
        page_path(name, "the plot")


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_page_has_the_shared_head(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert '{% include "head.html" %}' in text
    assert "<head>" not in text


def test_the_head_allows_one_script_and_escapes_the_title():
    environment = templates("nnx.reports", "templates")
    text = '{% set title = name %}{% include "head.html" %}<script>{{ script|safe }}</script>'
    environment.loader.loaders[1].mapping["small.html"] = text
    text = rendered(environment, "small.html", style="style.css", script="let a = 1;", name="<b>")
    digest = base64.b64encode(hashlib.sha256(b"let a = 1;").digest()).decode()
    assert re.findall(r"script-src '(.*?)'", text) == [f"sha256-{digest}"]
    assert "default-src 'none'" in text
    assert "<title>&lt;b&gt;</title>" in text
    assert f'content="nnx {nnx.__version__}"' in text
    assert (ROOT / "reports" / "templates" / "style.css").read_text(encoding="utf-8") in text


def test_a_page_is_written_with_its_folder_and_any_text(tmp_path):
    assert write_page("ä \udcff", tmp_path / "new" / "a.html").read_bytes() == "ä \\udcff".encode()
    with pytest.raises(OutputError, match="cannot create the folder"):
        write_page("", tmp_path / "new" / "a.html" / "b.html")
