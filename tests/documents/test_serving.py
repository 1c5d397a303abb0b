"""The page on FastAPI: its servers answer over a real socket as the network does, and put rows together."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec

import numpy as np
import pytest
from support.browser import unavailable
from support.pages import blocks
from support.places import ROOT

MODEL, TEN_LINES, BATCHES = (text for _, text in blocks(ROOT / "docs" / "serving.md", {"python"}))
X = np.random.default_rng(0).uniform(0, 16, (60, 64)).round()


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Iterator[dict[str, object]]:
    """The names of the page's first block, run in a folder of its own."""
    for library in ("fastapi", "uvicorn", "sklearn"):
        if find_spec(library) is None:
            unavailable(f"{library} is not installed: pip install {library}")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("serving"))
        names: dict[str, object] = {}
        exec(MODEL, names)
        yield names


@contextmanager
def served(source: str) -> Iterator[tuple[str, dict[str, object]]]:
    """Serve the app of a block with uvicorn; yield its address and the block's names."""
    import uvicorn

    names: dict[str, object] = {}
    exec(source, names)
    server = uvicorn.Server(uvicorn.Config(names["app"], host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until = time.monotonic() + 30
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            assert time.monotonic() < until, "the server did not start in 30 s"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/predict", names
    finally:
        server.should_exit = True
        thread.join(30)


def ask(address: str, given: object) -> tuple[int, object]:
    """Send JSON; return the status and the answer."""
    request = urllib.request.Request(
        address, json.dumps(given).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_ten_lines_serve_the_rows_of_a_request_as_a_batch(page):
    code = [line for line in TEN_LINES.splitlines() if line]
    assert len(code) <= 10
    with served(TEN_LINES) as (address, _):
        status, answer = ask(address, X.tolist())
        assert status == 200
        np.testing.assert_allclose(answer, page["network"].predict(X), rtol=1e-6)
        for wrong in ([[0.0] * 63], [["a"] * 64], [], {}):
            assert ask(address, wrong)[0] == 422
        assert ask(address, [[float("nan")] * 64])[0] in (422, 500)  # JSON has no NaN for an error's text
        assert ask(address, X[:1].tolist())[0] == 200


def test_rows_of_many_requests_are_computed_together(page):
    with served(BATCHES) as (address, names):
        network, sizes = names["network"], []

        class Slow:
            """Counts rows, and takes as long as a larger network."""

            def predict(self, rows):
                sizes.append(len(rows))
                time.sleep(0.05)
                if 99.0 in np.asarray(rows):
                    raise ValueError("a row that fails")
                return network.predict(rows)

        names["network"] = Slow()
        with ThreadPoolExecutor(20) as clients:
            found = list(clients.map(lambda row: ask(address, row), X.tolist()))
        assert [status for status, _ in found] == [200] * len(X)
        np.testing.assert_allclose([y for _, y in found], network.predict(X), rtol=1e-5, atol=1e-6)
        assert sum(sizes) == len(X)
        assert max(sizes) > 1
        assert ask(address, [99.0] * 64)[0] == 500
        assert ask(address, [1.0] * 63)[0] == 422
        assert ask(address, X[0].tolist())[0] == 200
