"""The engine in a real Chromium computes what nnx computes."""

from __future__ import annotations

import numpy as np
import pytest
from support.browser import chromium
from support.engine import CLOSE, PROGRAM, given, rows_for, trained_by_nnx
from support.engine_cases import CASES

from nnx.pages import engine_script

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def by_browser(tmp_path_factory):
    page = tmp_path_factory.mktemp("page") / "engine.html"
    page.write_text(
        f"<!doctype html><title>engine</title><script>{engine_script()}</script>", encoding="utf-8"
    )
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        driver.get(page.as_uri())
        cases = [given(one) for one in CASES.values()]
        answers = driver.execute_script(f"{PROGRAM} return arguments[0].map(train);", cases)
        assert driver.get_log("browser") == []
    return dict(zip(CASES, answers, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_two_hundred_steps_are_those_of_nnx(by_browser, name):
    there, here = by_browser[name], trained_by_nnx(CASES[name], *rows_for(CASES[name]))
    for key, values in here["weights"].items():
        np.testing.assert_allclose(there["weights"][key], values.ravel(), **CLOSE, err_msg=key)
    np.testing.assert_allclose(there["losses"], here["losses"], **CLOSE)
    np.testing.assert_allclose(there["predictions"], here["predictions"].ravel(), **CLOSE)
