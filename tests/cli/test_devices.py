"""``nnx devices`` lists and checks devices; ``nnx gradcheck`` checks every backward pass."""

from __future__ import annotations

import json
import re

import pytest
from support.command_line import command

import nnx
from nnx.backends import resolve
from nnx.backends.cuda_driver import gpu_or_driver


def test_devices_are_listed(answer):
    done = answer("devices", "--json", NNX_DEVICE="cpu")
    listed = json.loads(done.stdout)
    assert listed["default"] == "cpu"
    assert listed["devices"][0]["name"] == "numpy"
    assert listed["devices"][0]["usable"] is True
    assert [status["name"] for status in listed["devices"][:2]] == ["numpy", "numba"]
    table = answer("devices", COLUMNS="80").stdout
    assert re.search(r"^ numpy +cpu +yes +NumPy \d", table, re.MULTILINE)
    assert max(map(len, table.splitlines())) <= 80


def test_the_number_of_threads_and_its_reason_are_listed(tmp_path):
    done = command(tmp_path, "devices", "--threads", "1", "--json")
    for team in json.loads(done.stdout)["threads"].values():
        assert team == {"count": 1, "source": "--threads"}
    table = command(tmp_path, "devices", "--threads", "1", COLUMNS="80").stdout
    assert re.search(r"^ numpy +1 +--threads *$", table, re.MULTILINE)


def test_each_device_says_whether_it_computes_bfloat16(answer):
    listed = json.loads(answer("devices", "--json", NNX_DEVICE="cpu").stdout)
    for one in listed["devices"]:
        if not one["usable"]:
            assert one["bfloat16"] == {}
            continue
        device = one["name"] if one["device"] == "cpu" else one["device"]
        try:
            network = nnx.Network([nnx.Dense(2, 1)], device=device, precision="bfloat16")
        except nnx.DeviceError:
            assert one["bfloat16"]["speed"] == "no"
        else:
            pays, known = network.backend.bfloat16_pays, network.device == "cpu"
            assert one["bfloat16"]["speed"] == ("fast" if pays else "slow" if known else "unknown")
    table = answer("devices", COLUMNS="80").stdout
    assert re.search(r"^ numpy +cpu +slow +rounds factors", table, re.MULTILINE)


def test_usable_devices_are_checked_on_request(answer):
    done = answer("devices", "--check", "--json", NNX_DEVICE="cpu")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    usable = [one for one in listed["devices"] if one["usable"]]
    assert [check["device"] for check in listed["checks"]] == [
        one["name"] if one["device"] == "cpu" else one["device"] for one in usable
    ]
    for check in listed["checks"]:
        assert check["passed"]
        assert check["message"].startswith("XOR learnt (loss 0.00")
    assert listed["driver"]["install"].startswith("pip install") is gpu_or_driver()


def test_gradcheck_checks_every_case(answer):
    from nnx.gradcheck import CASES

    done = answer("gradcheck", "--device", "cpu", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["passed"], result["device"], result["backend"]) == (True, "cpu", resolve("cpu").name)
    assert [report["name"] for report in result["reports"]] == [case.name for case in CASES]
    assert all(report["worst"] < 1e-6 for report in result["reports"])


def test_gradcheck_fails_where_a_gradient_is_wrong(monkeypatch, capsys):
    from nnx import gradcheck
    from nnx.cli.main import main

    class Wrong(nnx.MeanSquaredError):
        def evaluate(self, backend, y_true, y_pred, value, dy, weights=None, kind=None):
            super().evaluate(backend, y_true, y_pred, value, dy, weights, kind)
            if dy is not None:
                dy *= 2.0

    monkeypatch.setattr(gradcheck, "run_all", lambda device: [gradcheck.check_loss(Wrong(), device=device)])
    with pytest.raises(SystemExit) as caught:
        main(["gradcheck", "--device", "cpu"])
    printed = capsys.readouterr()
    assert caught.value.code == 1
    assert "0 of 1 backward passes are right" in printed.out
    assert "y_pred" in printed.err
