"""The playground in a real Chromium with data and links that are made to harm: right numbers, or one line."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from support.browser import opening

from nnx.pages import write_playground

pytestmark = pytest.mark.slow

DROP = """const files = new DataTransfer(); files.items.add(new File([arguments[0]], "t.csv"));
document.querySelector("#drop").dispatchEvent(
  new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true }))"""
SET = """const { problem, settings } = nnxPlayground.session;
return { own: settings.data === "own", names: problem.names, train: Array.from(problem.train.x),
  held: Array.from(problem.held.x), y: Array.from(problem.train.y), scale: problem.scale }"""
TROUBLE = "const { trouble } = nnxPlayground.dom; return trouble.hidden ? '' : trouble.textContent"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return write_playground(tmp_path_factory.mktemp("page") / "playground.html").as_uri()


@pytest.fixture
def opened(driver, page):
    with opening(driver) as open_:
        yield lambda address=page: open_(address)


def dropped(driver, text):
    """The problem that the page makes of a file, or the line that refuses it."""
    driver.execute_script(DROP, text)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if found := driver.execute_script(TROUBLE):
            return found
        if (problem := driver.execute_script(SET))["own"]:
            return problem
        time.sleep(0.02)
    raise AssertionError("the file was not read")


def test_own_columns_of_any_size_have_mean_0_and_deviation_1(opened):
    columns = [[k * 1e200 for k in (-2, -1, 0, 1, 2)], [k * 1e-200 for k in (-2, -1, 0, 1, 2)],
               [1.7e308, -1.7e308, 1e308, 0.0, 5.0], [3.0, 1.0, 4.0, 1.5, 9.0]]  # fmt: skip
    rows = ["a,b,c,d,y", *(",".join(str(c[i % 5]) for c in columns) + f",{i % 7}.5e200" for i in range(40))]
    driver = opened()
    problem = dropped(driver, "\n".join(rows))
    x = np.array(problem["train"]).reshape(-1, 4)
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(x.std(0), 1, rtol=1e-12)
    np.testing.assert_allclose(np.std(problem["y"]), 1, rtol=1e-12)
    assert problem["scale"]["scale"] == pytest.approx(2e200, rel=0.5)


@pytest.mark.parametrize("number", ["0.1", "123456.789", "-1e300", "1e-300", "0"])
def test_a_constant_column_becomes_0(opened, number):
    rows = "\n".join(f"{number},{i},{'ab'[i % 2]}" for i in range(40))
    problem = dropped(opened(), f"c,x,y\n{rows}\n")
    assert not np.array(problem["train"]).reshape(-1, 2)[:, 0].any()
    assert not np.array(problem["held"]).reshape(-1, 2)[:, 0].any()


def test_years_above_columns_are_not_taken_for_data(opened):
    rows = "".join(f"t{i % 3},{i},{i % 11}\n" for i in range(20))
    line = dropped(opened(), "tree,2019,2020\n" + rows)
    assert line.startswith("t.csv: line 1 (tree, 2019, 2020) may hold names of columns or data: ")
    assert len(dropped(opened(), rows)["names"]) == 1  # rows alone are data


def test_a_table_that_cannot_be_learnt_is_said_at_the_start(opened, tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"t{i},u{i}\n" for i in range(20)))
    driver = opened(write_playground(tmp_path / "page.html", tmp_path / "t.csv").as_uri())
    assert driver.execute_script(TROUBLE) == "no column of numbers is left as an input"


def _text(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "change",
    [
        {"at": 375}, {"at": 10**9}, {"at": -1}, {"epoch": 0.5}, {"state": None}, {"curve": None},
        {"curve": {"steps": [0, 1], "train": [1], "held": [1], "accuracy": [1]}},
        {"curve": {"steps": [0], "train": 5, "held": [1], "accuracy": [1]}},
        {"steps": "x"}, {"optimizerSteps": -1},
    ],
    ids=str,
)  # fmt: skip
def test_a_link_with_numbers_that_do_not_fit_is_refused_and_the_page_lives(opened, page, change):
    driver = opened()
    driver.execute_script("nnxPlayground.train(3, Infinity)")
    driver.find_element("css selector", "#make-link").click()
    hash_ = driver.execute_script("return location.hash")
    parts = dict(part.split("=") for part in hash_[1:].split("&"))
    tree = json.loads(base64.urlsafe_b64decode(parts["p"] + "=" * (-len(parts["p"]) % 4)))
    for name, value in change.items():
        (tree["state"] if name in tree["state"] else tree)[name] = value
    driver = opened(f"{page}#s={parts['s']}&p={_text(tree)}&w={parts['w']}")
    assert "the link" in driver.execute_script(TROUBLE)
    driver.find_element("css selector", "#step").click()
    assert driver.execute_script("return nnxPlayground.session.stepCount") == 1


def test_the_code_reads_the_saved_data_in_every_locale(opened, tmp_path):
    code = opened().execute_script("return document.querySelector('#code').textContent")
    read = "\n".join(line for line in code.splitlines() if line.startswith(("import numpy", "rows = ")))
    (tmp_path / "playground.csv").write_text('"x₁","x₂","y"\n1,2,3\n', encoding="utf-8")
    plain = os.environ | {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", f"{read}\nprint(rows.tolist())"],
                          cwd=tmp_path, env=plain, capture_output=True, text=True)  # fmt: skip
    assert (done.stdout, done.stderr) == ("[[1.0, 2.0, 3.0]]\n", "")
