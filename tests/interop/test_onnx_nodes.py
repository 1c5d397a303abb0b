"""ONNX's own node tests: those about constant weights and rows that nnx's layers take all pass.

``pytest tests/interop/test_onnx_nodes.py -rP`` prints how many those are, and why the others are left out.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from support.places import ROOT

pytest.importorskip("onnx", reason="needs onnx: pip install 'nnx-arrays[onnx]'")

from support.onnx_node_tests import ON_SHAPES, OPERATORS, cases, check, load, table

import nnx

pytestmark = [
    pytest.mark.usefixtures("on_cpu"),
    pytest.mark.filterwarnings("ignore"),  # of ONNX's own making, where it computes what it expects
]
PAGE = ROOT / "docs" / "onnx.md"


def test_those_about_constant_weights_and_rows_all_pass(tmp_path: Path):
    found = cases()
    failed = {}
    for case in found:
        if not case.left_out:
            try:
                check(case, tmp_path)
            except Exception as error:
                failed[case.name] = str(error)
    assert not failed, "\n".join(f"{name}: {text}" for name, text in failed.items())
    print(table(found))
    passed = Counter(case.operator for case in found if not case.left_out)
    assert set(passed) == set(OPERATORS), "no test of an operator was tried"
    told = re.search(r"\*\*(\d+) of (\d+)\*\*", PAGE.read_text(encoding="utf-8"))
    assert told is not None
    assert (passed.total(), len(found)) == tuple(map(int, told.groups())), f"{PAGE.name} tells of others"


def test_the_others_about_images_and_shapes_are_refused_in_one_line(tmp_path: Path):
    tried = [case for case in cases() if case.operator in ON_SHAPES and case.left_out]
    assert len(tried) > 50
    for case in tried:
        with pytest.raises(nnx.FileFormatError) as caught:
            load(case, case.test.data_sets[0][0], tmp_path)
        assert "\n" not in str(caught.value)
