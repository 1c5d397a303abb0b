"""The documentation site is complete, matches the code, and works without a network."""

from __future__ import annotations

import json
import operator
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from support.browser import chromium, look
from support.places import ROOT

import nnx

DOCS = ROOT / "docs"
REFERENCE = re.compile(r"^::: nnx\.(\S+)$", re.MULTILINE)
FETCHED = re.compile(r"""<(?:script|img|iframe|link)\b[^>]*?\b(?:src|href)=["']?(?:https?:)?//[^>]*>""")


def navigation(entries: list[dict[str, object]]) -> list[str]:
    """The pages of the site's navigation, in order."""
    found = []
    for entry in entries:
        for target in entry.values():
            found += [target] if isinstance(target, str) else navigation(target)
    return found


def configured() -> list[str]:
    return navigation(tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"])


def test_every_page_is_in_the_navigation_once():
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert Counter(configured()) == dict.fromkeys(pages, 1)


def test_every_public_name_is_in_the_reference_once():
    text = "\n".join(path.read_text(encoding="utf-8") for path in (DOCS / "reference").glob("*.md"))
    named = Counter(REFERENCE.findall(text))
    assert {name: n for name, n in named.items() if "." not in name} == dict.fromkeys(nnx.__all__, 1)
    assert max(named.values()) == 1
    for name in named:  # get of a module, for example
        assert operator.attrgetter(name)(nnx)


def test_the_drawing_of_the_rooms_is_that_of_the_code(monkeypatch):
    monkeypatch.syspath_prepend(DOCS)
    import draw_rooms

    root = ElementTree.parse(draw_rooms.DRAWING).getroot()
    told = root.find(".//{http://purl.org/dc/elements/1.1/}description")
    drawn, there = json.loads(told.text), json.loads(draw_rooms.description(draw_rooms.arrows()))
    assert drawn == there, "run python docs/draw_rooms.py"


def build(place: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of a folder, warnings being errors."""
    return subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--clean", "--strict"],
        cwd=place, capture_output=True, text=True, timeout=240,
    )  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with warnings as errors."""
    for library in ("zensical", "mkdocstrings", "latex2mathml"):
        if find_spec(library) is None:
            pytest.skip(f"{library} is not installed: nox -s site builds the site and runs this")
    place = tmp_path_factory.mktemp("site")
    shutil.copy(ROOT / "zensical.toml", place)
    for folder in ("docs", "nnx"):
        shutil.copytree(ROOT / folder, place / folder, ignore=shutil.ignore_patterns("__pycache__"))
    done = build(place)
    assert done.returncode == 0, done.stdout + done.stderr
    return place / "site"


def test_every_page_is_built(site: Path):
    for page in configured():
        assert (site / page).with_suffix(".html").is_file(), page


def test_every_public_name_has_an_entry_with_its_docstring(site: Path):
    built = "".join(path.read_text(encoding="utf-8") for path in (site / "reference").glob("*.html"))
    for name in nnx.__all__:
        assert f'id="nnx.{name}"' in built, name


def test_no_page_fetches_anything(site: Path):
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not FETCHED.findall(text), path.name
        assert "mermaid" not in text, f"{path.name}: the theme would fetch a script to draw it"


FORMULA = re.compile(r"^```math$", re.MULTILINE)


def test_every_formula_is_mathml(site: Path):
    for page in ("tutorial", "backpropagation"):
        written = FORMULA.findall((DOCS / page).with_suffix(".md").read_text(encoding="utf-8"))
        built = (site / page).with_suffix(".html").read_text(encoding="utf-8")
        assert built.count("<math ") == len(written) > 10, page
        assert "\\frac" not in built, page


def test_a_layer_shows_only_its_own_members(site: Path):
    built = (site / "reference" / "layers.html").read_text(encoding="utf-8")
    for name in ("forward", "backward", "build", "trainable"):
        assert re.findall(rf'id="nnx\.(\w+)\.{name}"', built) == ["Layer"], name
    assert 'id="nnx.Dense.initial_values"' in built


def test_a_network_shows_the_members_of_all_its_files(site: Path):
    built = (site / "reference" / "network.html").read_text(encoding="utf-8")
    shown = re.findall(r'id="nnx\.Network\.(\w+)"', built)
    assert sorted(shown) == sorted(name for name in dir(nnx.Network) if not name.startswith("_"))


@pytest.fixture(scope="module")
def browser(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, str]]:
    """A real Chromium, and the address of the site served from this machine."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


WIDER = """
return [...document.querySelectorAll("html, article, article *")].filter((element) =>
  element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0
  && (element.tagName === "HTML" || getComputedStyle(element).overflowX !== "visible")
).map((element) => element.tagName + " " + element.textContent.trim().slice(0, 80));
"""


def test_nothing_is_cut_at_1280_pixels(browser: tuple[Any, str]):
    driver, address = browser
    look(driver, width=1280)
    for page in configured():
        driver.get(f"{address}/{Path(page).with_suffix('.html').as_posix()}")
        assert driver.execute_script(WIDER) == [], page


SEARCH = "return [...document.querySelectorAll('div')].find((div) => div.shadowRoot?.querySelector('input'))"


def test_the_search_finds_a_page_where_the_site_is_served(browser: tuple[Any, str]):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    driver, address = browser
    driver.get(f"{address}/index.html")
    driver.find_element(By.CSS_SELECTOR, ".md-search__button").click()
    wait = WebDriverWait(driver, 20)
    search = wait.until(lambda driver: driver.execute_script(SEARCH)).shadow_root
    search.find_element(By.CSS_SELECTOR, "input").send_keys("autoencoder")
    wait.until(lambda _: search.find_elements(By.CSS_SELECTOR, "a[href*='tutorial.html']"))


def test_a_broken_link_breaks_the_build(site: Path):  # the last: it spoils the copy
    page = site.parent / "docs" / "index.md"
    page.write_text("[nowhere](nowhere.md)\n", encoding="utf-8")
    assert build(site.parent).returncode != 0
