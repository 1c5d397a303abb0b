"""Compare what ranks must have in common, before they start."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from typing import Any

import numpy as np

SAMPLED = 256


def fingerprint(*arrays: Any) -> str:
    """Return a short hash of data on the host: types, shapes, contents.

    Of data in files, only `SAMPLED` rows are read: otherwise every rank would read the whole file.
    """
    found = hashlib.blake2b(digest_size=8)
    for array in arrays:
        if array is None:
            found.update(b"none")
            continue
        found.update(f"{array.dtype} {array.shape}".encode())
        if isinstance(array, np.memmap) or not isinstance(array, np.ndarray):
            rows = np.unique(np.linspace(0, len(array) - 1, SAMPLED).astype(np.int64))
            array = np.asarray(array[rows])
        found.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    return found.hexdigest()


def version(distribution: str) -> str:
    """Return the installed version of a distribution, or "not installed"."""
    try:
        return installed(distribution)
    except PackageNotFoundError:
        return "not installed"


def packed(facts: dict[str, Any]) -> str:
    """Return facts as text; the same facts give the same text."""
    return json.dumps(facts, default=repr)


def difference(texts: list[str]) -> str:
    """Return what differs between the ranks' facts, in one line; empty if they are the same."""
    facts = [json.loads(text) for text in texts]
    for name in dict.fromkeys(name for known in facts for name in known):
        values = [json.dumps(known.get(name)) for known in facts]
        usual = Counter(values).most_common(1)[0][0]  # of equally common values, the first: rank 0's
        odd = [rank for rank, value in enumerate(values) if value != usual]
        if odd:
            shown = f"{_short(values[odd[0]])} instead of {_short(usual)}"
            return f"{ranks(odd)} of {len(texts)} differ in {name}: {shown}"
    return ""


def ranks(numbers: Sequence[int]) -> str:
    """Return ranks in words: ``"rank 3"``, ``"ranks 0, 2 and 5 more"`` (the first eight by number)."""
    more = f" and {len(numbers) - 8} more" if len(numbers) > 8 else ""
    return f"{'rank' if len(numbers) == 1 else 'ranks'} {', '.join(map(str, numbers[:8]))}{more}"


def _short(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:97]}…"
