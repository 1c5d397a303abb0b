"""``nnx data`` lists, verifies and fetches the data sets."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support.command_line import command


@pytest.mark.mnist
def test_data_is_listed_and_verified(tmp_path, mnist_directory):
    listed = json.loads(command(tmp_path, "data", "list", "--json").stdout)["datasets"]
    assert {entry["name"]: entry["available"] for entry in listed} == {
        "mnist": False, "digits": True, "xor": True}  # fmt: skip
    done = command(tmp_path, "data", "verify")
    assert done.returncode == 1
    assert done.stdout.count(" missing ") == 4
    done = command(tmp_path, "data", "verify", "--directory", mnist_directory)
    assert done.returncode == 0
    assert len(re.findall(r" ok ", done.stdout)) == 4
    done = command(tmp_path, "data", "fetch", NNX_DATA_DIR=str(mnist_directory))
    assert done.returncode == 0
    assert [Path(line).parent for line in done.stdout.splitlines()] == [mnist_directory] * 4
    assert "mnist" in command(tmp_path, "data", "list").stdout
