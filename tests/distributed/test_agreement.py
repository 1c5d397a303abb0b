"""Ranks with other data or options than the others are found and named."""

from __future__ import annotations

import numpy as np

from nnx.distributed import agreement


class TestOneProcess:
    def test_differences_are_told_in_one_line(self):
        facts = [{"epochs": 5}, {"epochs": 5}, {"epochs": 6}]
        text = agreement.difference([agreement.packed(each) for each in facts])
        assert text == "rank 2 of 3 differ in epochs: 6 instead of 5"
        assert agreement.difference([agreement.packed(each) for each in facts[:2]]) == ""

    def test_fingerprints_tell_types_shapes_and_contents_apart(self):
        x = np.arange(6.0)
        seen = {agreement.fingerprint(y) for y in (x, x.reshape(2, 3), x.astype(np.float32), x + 1, x[:0])}
        assert len(seen) == 5
        assert agreement.fingerprint(x[::2]) == agreement.fingerprint(x[::2].copy())

    def test_of_a_mapped_file_few_rows_are_read(self, tmp_path):
        x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (100_000, 4))
        first = agreement.fingerprint(x)
        x[5] = 1.0  # between two of those that are read
        assert agreement.fingerprint(x) == first
        x[99_999] = 1.0
        assert agreement.fingerprint(x) != first
