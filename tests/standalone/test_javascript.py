"""ES modules as their readers see them: in Node.js, and in a page."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest
from support.browser import chromium
from support.standalone_files import needs, program_of, text_of
from support.step_programs import built

from nnx.standalone.javascript import camel, library
from nnx.standalone.program import Meaning

PAGE = """<!DOCTYPE html><title>waiting</title><script type="module">
{module}
document.title = JSON.stringify([predict([EXAMPLE]), classify([EXAMPLE]), check()]);
</script>"""


def test_a_module_inside_a_page_computes_as_nnx(tmp_path):
    network, x = built("residual")
    y = network.predict(x)
    classes = ("</script>", "<!--<script>", "c", "d")
    text = text_of(program_of(network, x, Meaning(classes=classes)), "javascript")
    (tmp_path / "page.html").write_text(PAGE.format(module=text), encoding="utf-8")
    with chromium(tmp_path / "profile") as driver:
        driver.get((tmp_path / "page.html").as_uri())
        answer, names, largest = json.loads(driver.title)
    np.testing.assert_allclose(answer, y[:1], rtol=1e-4, atol=1e-4 * np.abs(y).max())
    assert names == [classes[int(np.argmax(y[0]))]]
    assert largest < 1e-4 * np.abs(y).max()


def test_the_example_in_the_head_works(tmp_path):
    needs("javascript")
    network, x = built("residual")
    text = text_of(program_of(network, x), "javascript", "flowers")
    (tmp_path / "flowers.mjs").write_text(text, encoding="ascii")
    first, second = (line.removeprefix("//").strip() for line in text.splitlines()[2:4])
    code = f"{first}\nconsole.log(JSON.stringify({second.rstrip(';')}));"
    done = subprocess.run(
        ["node", "--input-type=module", "-e", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    expected = network.predict(x)
    np.testing.assert_allclose(json.loads(done.stdout), expected[:1], atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["a b", "100%", "a#b?c", "größe (1)", "a'@&\n", "model"])
def test_a_module_checks_itself_whatever_its_file_is_called(tmp_path, name):
    needs("javascript")
    network, x = built("residual")
    path = tmp_path / f"{name}.mjs"
    path.write_text(text_of(program_of(network, x), "javascript", name), encoding="ascii")
    done = subprocess.run(["node", str(path)], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("6 stored rows: the largest difference to nnx is ")


def test_a_module_checks_itself_through_links_but_not_when_it_is_imported(tmp_path):
    needs("javascript")
    network, x = built("residual")
    (tmp_path / "real").mkdir()
    path = tmp_path / "real" / "model.mjs"
    path.write_text(text_of(program_of(network, x), "javascript", "model"), encoding="ascii")
    (tmp_path / "link").symlink_to(path.parent)
    (tmp_path / "other.mjs").symlink_to(path)
    (tmp_path / "user.mjs").write_text('import "./other.mjs";\n', encoding="ascii")
    printed = {
        name: subprocess.run(["node", name], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        for name in ("link/model.mjs", "other.mjs", "user.mjs")
    }
    assert {name: text.startswith("6 stored rows") for name, text in printed.items()} == {
        "link/model.mjs": True, "other.mjs": True, "user.mjs": False,
    }  # fmt: skip
    assert printed["user.mjs"] == ""


def test_every_function_of_the_steps_has_its_twin_in_python():
    from nnx.ops.activations import ACTIVATIONS
    from nnx.standalone import steps_plain
    from nnx.standalone.calls import ARGUMENTS, SLOPED

    called = {*ARGUMENTS, *ACTIVATIONS, *SLOPED} - {"activation", "tied_dense", "identity"}
    for name in called:
        assert callable(getattr(steps_plain, name))
        assert camel(name) in library()
