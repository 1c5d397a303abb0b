"""Fetching MNIST: after each kind of failure the next mirror is tried, and no partial file stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.mnist_mirror import PACKED, SMALL, TRAIN, MirrorServer

from nnx.datasets import DatasetUnavailableError, fetch_mnist, load_mnist, mnist_files, verify_mnist
from nnx.datasets.mirrors import fetch_first

FAILURES = {
    "absent": "answered HTTP 404",
    "page": "sent a web page",
    "other": "SHA-256",
    "cut": "truncated",
    "short": "sent less than it announced",
    "long": "truncated",
    "no_length": "truncated",
    "odd_length": "",
    "page_as_gzip": "not an IDX file",
    "bomb": "",
    "stall": "did not answer within 1 s",
    "stall_in_body": "did not answer within 1 s",
    "drip_headers": "did not answer within 1 s",
    "drip_body": "did not answer within 1 s",
    "endless": "sent more than ",
}


@pytest.mark.parametrize("manner", ["good", "plain"])
def test_a_good_mirror_fills_the_cache(
    mirrors: Callable[..., None],
    server: MirrorServer,
    cache: Path,
    manner: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    mirrors(manner)
    news: list[tuple[str, int, int | None]] = []
    data = load_mnist(progress=lambda *item: news.append(item))
    assert data.x_train.shape == (TRAIN, 784)
    assert (
        data.x_train.tobytes()
        == (np.frombuffer(SMALL["train-images-idx3-ubyte"][16:], np.uint8) / np.float32(255)).tobytes()
    )
    assert data.source == str(cache)
    assert sorted(path.name for path in cache.iterdir()) == sorted(PACKED)
    assert {file for file, _, _ in news} == set(PACKED)
    assert all(announced in (None, received) or received < announced for _, received, announced in news)
    assert len(server.requests) == 4
    load_mnist()
    assert len(server.requests) == 4, "the second time the cache answers"
    assert all(status.ok for status in verify_mnist())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("manner", FAILURES)
def test_a_failing_mirror_leads_to_the_next(
    mirrors: Callable[..., None], server: MirrorServer, cache: Path, manner: str
) -> None:
    mirrors(manner, "good")
    paths = fetch_mnist(timeout=1)
    assert [path.name for path in paths] == [f"{file.name}.gz" for file in mnist_files.FILES]
    assert all(path.read_bytes() == PACKED[path.name] for path in paths)
    assert sorted(path.name for path in cache.iterdir()) == sorted(PACKED)
    assert [file for failing, file in server.requests if failing == manner] == [paths[0].name], (
        "the mirror that served is asked first from then on"
    )


def test_when_all_mirrors_fail_one_line_says_what_each_did(
    mirrors: Callable[..., None], server: MirrorServer, cache: Path
) -> None:
    mirrors(*FAILURES)
    with pytest.raises(DatasetUnavailableError) as caught:
        fetch_mnist(timeout=1)
    text = str(caught.value)
    assert "\n" not in text
    assert "NNX_DATA_DIR" in text
    for manner, did in FAILURES.items():
        assert did in text[text.index(server.url(manner)) :].split("; ")[0]
    assert not cache.exists()


def test_a_steady_trickle_ends_at_the_deadline(server: MirrorServer, cache: Path) -> None:
    with pytest.raises(DatasetUnavailableError, match=r"was not done after 0\.5 s"):
        fetch_first(
            "train-images-idx3-ubyte.gz", [server.url("slow")], lambda data: None, limit=2**30, deadline=0.5
        )


def test_a_mirror_that_refuses_or_has_no_valid_address(
    monkeypatch: pytest.MonkeyPatch, server: MirrorServer, cache: Path
) -> None:
    with MirrorServer() as gone:
        port = gone.server_port
    monkeypatch.setenv("NNX_MNIST_MIRRORS", f"http://me:secret@127.0.0.1:{port}, file:///etc, nonsense")
    with pytest.raises(DatasetUnavailableError) as caught:
        fetch_mnist()
    assert f"http://127.0.0.1:{port} failed: Connection refused" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "file:///etc failed: No connection adapters" in str(caught.value)
    assert "nonsense failed: Invalid URL" in str(caught.value)
