"""A device that computes wrongly is found."""

from __future__ import annotations

from types import SimpleNamespace

import pytest


@pytest.mark.parametrize(
    ("where", "fault", "told"),
    [
        ("xor.run", lambda *_: SimpleNamespace(metrics={"loss": 0.2, "accuracy": 0.5}), "XOR was not learnt"),
        (
            "gradcheck.run_all",
            lambda _: [SimpleNamespace(passed=False, message="dW is wrong")],
            "dW is wrong",
        ),
    ],
)
def test_a_device_that_computes_wrongly_is_found(monkeypatch, capsys, where, fault, told):
    from nnx.cli.main import main

    monkeypatch.setattr(f"nnx.experiments.device_check.{where}", fault)
    with pytest.raises(SystemExit) as caught:
        main(["devices", "--check"])
    assert caught.value.code == 1
    printed = capsys.readouterr().out
    assert "WRONG" in printed
    assert told in printed
