"""Damaged files of a run: one line, no traceback, and no wrong number."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from support.command_line import command

from nnx.errors import FileFormatError
from nnx.experiments.result import read_run
from nnx.reports import evidence

RNG = np.random.default_rng(20)
MOST = 2000  # damages of a file; `report.npz` is slower to read


@pytest.fixture(scope="module")
def folder(run_folders, tmp_path_factory):
    copy = tmp_path_factory.mktemp("damaged") / "run"
    shutil.copytree(run_folders["xor"], copy)
    return copy


def meaning(folder):
    """All that a report takes from a run; "refused" where it is refused in one line."""
    try:
        result, kept = read_run(folder), evidence.read(folder / evidence.FILE)
    except FileFormatError as error:
        text = str(error)
        return "refused" if str(folder) in text and "\n" not in text else text
    history = result.history and (result.history.epochs, result.history.metrics)
    arrays = {name: (array.dtype, array.tolist()) for name, array in kept.items()}
    return repr((json.dumps(result.to_json(), sort_keys=True), history, arrays))


@pytest.mark.parametrize("name", ["result.json", "history.csv", "report.npz"])
def test_a_file_cut_anywhere_is_refused(folder, name):
    whole, right = (folder / name).read_bytes(), meaning(folder)
    assert right != "refused"
    few = MOST if name == "result.json" else 300
    lengths = {*range(min(len(whole), few // 2)), *range(max(0, len(whole) - few // 2), len(whole))}
    try:
        for length in lengths:
            (folder / name).write_bytes(whole[:length])
            found = meaning(folder)
            # what is cut off at the end may be a line's end only
            assert found == "refused" or (found == right and name == "result.json"), length
    finally:
        (folder / name).write_bytes(whole)
    assert meaning(folder) == right


@pytest.mark.parametrize("name", ["result.json", "history.csv", "report.npz"])
def test_a_flipped_bit_anywhere_is_refused_or_changes_nothing(folder, name):
    whole, right = (folder / name).read_bytes(), meaning(folder)
    bits = 8 * len(whole)
    chosen = range(bits) if bits <= MOST else RNG.choice(bits, MOST // 2 if name == "result.json" else 400)
    refused = 0
    try:
        for bit in chosen:
            spoilt = bytearray(whole)
            spoilt[bit // 8] ^= 1 << (bit % 8)
            (folder / name).write_bytes(spoilt)
            found = meaning(folder)
            assert found in (right, "refused"), (bit, whole[bit // 8 - 20 : bit // 8 + 20])
            refused += found == "refused"
    finally:
        (folder / name).write_bytes(whole)
    assert refused >= 0.9 * len(chosen)  # the rest are blanks between the entries of JSON


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("result.json", b'"seed": 0', b'"seed": 1'),
        ("history.csv", b"0.", b"1."),
        ("report.npz", b"PK", b"PL"),
    ],
)
def test_the_command_refuses_another_number_in_one_line(run_folders, tmp_path, name, old, new):
    shutil.copytree(run_folders["xor"], tmp_path / "run")
    path = tmp_path / "run" / name
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    done = command(tmp_path, "report", "run")
    assert done.returncode == 1
    assert done.stderr.startswith(f"nnx: run/{name} is damaged (its checksum is another): ")
    assert len(done.stderr.splitlines()) == 1


def test_a_result_that_its_owner_changed_is_read_without_its_checksums(run_folders, tmp_path):
    shutil.copytree(run_folders["xor"], tmp_path / "run")
    path = tmp_path / "run" / "result.json"
    stored = json.loads(path.read_text())
    stored["notes"].append("tried on a train")
    path.write_text(json.dumps(stored))
    with pytest.raises(FileFormatError, match="entry checksums"):
        read_run(tmp_path / "run")
    del stored["checksums"]
    path.write_text(json.dumps(stored))
    assert read_run(tmp_path / "run").notes[-1] == "tried on a train"


@pytest.mark.parametrize("sums", [3, [], {"result.json": 3}, {"history.csv": "0"}, {"../x": "1"}, "text"])
def test_checksums_that_are_none_are_refused(run_folders, tmp_path, sums):
    shutil.copytree(run_folders["xor"], tmp_path / "run")
    path = tmp_path / "run" / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"checksums": sums}))
    with pytest.raises(FileFormatError, match="is damaged"):
        read_run(tmp_path / "run")
