"""The summary of skipped tests names every reason, with its count and its places."""

from __future__ import annotations

import subprocess
import sys

from support.places import TESTS

MODULE = """
import pytest

@pytest.mark.skip(reason="no GPU")
@pytest.mark.parametrize("number", range({count}))
def test_a(number): pass

@pytest.mark.parametrize("number", range(2))
def test_b(number): pytest.skip("no MNIST")

def test_c(): pass
"""


def test_every_reason_is_listed_once(tmp_path):
    for number in range(5):
        (tmp_path / f"test_{number}.py").write_text(MODULE.format(count=10 - number))
    (tmp_path / "test_module.py").write_text(
        "import pytest\npytest.importorskip('no_such_module', reason='no module')\n"
    )
    (tmp_path / "conftest.py").write_text("from support.skips import pytest_terminal_summary\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", str(tmp_path)],
        cwd=tmp_path, env={"PYTHONPATH": str(TESTS)}, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    (start,) = [place for place, line in enumerate(lines) if "skipped, by reason" in line]
    assert lines[start + 1 : start + 4] == [
        "   40 no GPU  (test_0.py 10, test_1.py 9, test_2.py 8, 2 more files 13)",
        "   10 no MNIST  (test_0.py 2, test_1.py 2, test_2.py 2, 2 more files 4)",
        "    1 no module  (test_module.py 1)",
    ]
