"""How many threads compute, and who sets the number."""

from __future__ import annotations

import json
import os
import shutil

import click
import numpy as np
import pytest
from support.control_groups import quota
from support.threads import fit, python
from threadpoolctl import threadpool_info

import nnx
from nnx.backends import threads
from nnx.cli.main import cli


@pytest.fixture
def unset(monkeypatch):
    """Nobody set a number of threads."""
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


# Prints how many threads a training uses, and how many threads compute a step of each backend, and why.
TEAMS = """
import json, nnx
from nnx.backends import available, resolve
from nnx.experiments.environment import environment
names = [one.name for one in available() if one.usable and one.device == "cpu"]
print(json.dumps({
    "threads": environment("cpu", "numpy")["threads"], "teams": {name: resolve(name).team() for name in names}
}))
"""


class Seen(nnx.Callback):
    def on_step_end(self, run):
        self.threads = blas_threads()


class TestTheNumberOfThreads:
    @pytest.mark.parametrize(
        ("quota", "expected"), [("max", 8), ("150000", 1), ("250000", 2), ("1600000", 8), ("5000", 1)]
    )
    def test_follows_affinity_and_quota(self, tmp_path, monkeypatch, quota, expected):
        monkeypatch.setattr(threads, "affinity", lambda: 8)
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text("0::/job\n")
        (tmp_path / "proc/self/mountinfo").write_text("31 23 0:28 / /groups rw - cgroup2 cgroup2 rw\n")
        (tmp_path / "groups/job").mkdir(parents=True)
        (tmp_path / "groups/job/cpu.max").write_text(f"{quota} 100000\n")
        assert threads.cores(tmp_path) == expected

    @pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
    def test_follows_the_affinity_of_the_process(self):
        code = (
            "import os\nos.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
            "from nnx.backends import threads\nprint(threads.cores())\n"
        )
        assert python(code) == "1\n"

    @pytest.mark.skipif(shutil.which("taskset") is None, reason="there is no taskset here")
    def test_under_taskset_every_backend_uses_the_cores_it_leaves(self):
        told = json.loads(python(TEAMS, before=["taskset", "-c", str(min(os.sched_getaffinity(0)))]))
        every = os.cpu_count()
        why = "one for each core" if every == 1 else f"this process may use 1 of {every} cores (affinity)"
        assert told["threads"] == 1
        assert set(map(tuple, told["teams"].values())) == {(1, why)}

    @pytest.mark.parametrize(("processors", "text"), [(0.5, "0.5 processors"), (1, "1 processor")])
    def test_under_a_real_quota_every_backend_uses_whole_processors(self, processors, text):
        with quota(processors) as members:
            told = json.loads(python(f"open({str(members)!r}, 'w').write('0')\n{TEAMS}"))
        if threads.affinity() == 1:
            pytest.skip("a single core: affinity allows no more than the quota")
        assert told["threads"] == 1
        assert set(map(tuple, told["teams"].values())) == {(1, f"a control group has a quota of {text}")}

    def test_a_quota_above_the_cores_changes_nothing(self):
        with quota(threads.affinity() + 1) as members:
            told = json.loads(python(f"open({str(members)!r}, 'w').write('0')\n{TEAMS}"))
        assert told["threads"] == threads.affinity()

    @pytest.mark.parametrize(
        ("variables", "numpy", "numba"),
        [
            ({"OMP_NUM_THREADS": "1"}, "OMP_NUM_THREADS=1", "OMP_NUM_THREADS=1"),
            ({"OMP_NUM_THREADS": "1,4"}, "OMP_NUM_THREADS=1,4", "OMP_NUM_THREADS=1,4"),
            ({"OPENBLAS_NUM_THREADS": "1"}, "OPENBLAS_NUM_THREADS=1", None),
            ({"NUMBA_NUM_THREADS": "1"}, None, "NUMBA_NUM_THREADS=1"),
            ({"OMP_NUM_THREADS": "none"}, None, None),
            ({"MKL_NUM_THREADS": "1"}, None, None),
        ],
    )
    def test_a_variable_counts_for_the_library_that_reads_it(self, variables, numpy, numba):
        if "MKL_NUM_THREADS" in variables and not threads.name_of_blas().startswith("OpenBLAS"):
            pytest.skip("NumPy's BLAS is not OpenBLAS here")
        teams = json.loads(python(TEAMS, **variables))["teams"]
        for name, why in {"numpy": numpy, "numba": numba}.items():
            if name in teams:
                expected = threads.affinity() if why is None else 1
                assert teams[name][0] == expected, name
                assert why is None or teams[name][1] == why

    @pytest.mark.usefixtures("unset")
    def test_a_number_from_elsewhere_is_called_so(self, monkeypatch):
        monkeypatch.setattr(threads, "cores", lambda root=None: 8)
        assert threads.source(5, threads.OF_BLAS) == "set by the library itself, or in this process"

    @pytest.mark.usefixtures("unset")
    @pytest.mark.parametrize("variable", ["NUMBA_NUM_THREADS", "MKL_NUM_THREADS"])
    def test_a_variable_of_another_library_does_not_lift_the_quota_of_the_blas(self, monkeypatch, variable):
        if not threads.name_of_blas().startswith("OpenBLAS"):
            pytest.skip("NumPy's BLAS is not OpenBLAS here")
        seen = Seen()
        monkeypatch.setenv(variable, "2")
        monkeypatch.setattr(threads, "affinity", lambda: 8)
        monkeypatch.setattr(threads, "cores", lambda: 1)
        fit([seen])
        assert set(seen.threads) == {1}

    @pytest.mark.usefixtures("unset")
    def test_a_quota_holds_for_numpys_blas_while_training_and_no_longer(self, monkeypatch):
        before, seen = blas_threads(), Seen()
        monkeypatch.setattr(threads, "affinity", lambda: 8)
        monkeypatch.setattr(threads, "cores", lambda: 1)
        fit([seen])
        assert set(seen.threads) == {1}
        assert blas_threads() == before

    @pytest.mark.usefixtures("unset")
    def test_a_quota_holds_for_numpys_blas_in_predictions_and_no_longer(self, monkeypatch):
        class Seeing(nnx.Layer):
            def forward_into(self, x, y, workspace):
                seen.append(of_numpy())
                y[...] = x

        def of_numpy():
            return [pool["num_threads"] for pool in threads._pools()]

        before, every, seen = of_numpy(), blas_threads(), []
        network = nnx.Network([Seeing(), nnx.Dense(8, 1)], device="numpy", seed=0)
        x = np.zeros((3, 8), np.float32)
        allowed = 2 if before[0] == 1 else 1  # another number than outside
        threads._limit.cache_clear()
        monkeypatch.setattr(threads, "affinity", lambda: 8)
        monkeypatch.setattr(threads, "cores", lambda: allowed)
        network.predict(x)
        network.evaluate(x, x[:, :1], loss="mse")
        threads._limit.cache_clear()
        assert seen == [[allowed] * len(before)] * 2
        assert blas_threads() == every

    def test_a_number_of_the_users_is_left_alone(self, monkeypatch):
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
        before, seen = blas_threads(), Seen()
        monkeypatch.setattr(threads, "affinity", lambda: 8)
        monkeypatch.setattr(threads, "cores", lambda: 1)
        fit([seen])
        assert seen.threads == before

    @pytest.mark.parametrize(
        ("variables", "expected"),
        [({}, "1"), ({"NUMBA_NUM_THREADS": "2"}, "2"), ({"NUMBA_NUM_THREADS": "1"}, "1")],
    )
    def test_a_quota_holds_for_the_compiled_kernels(self, variables, expected):
        pytest.importorskip("numba")
        code = (
            "from nnx.backends import resolve, threads\nthreads.cores = lambda: 1\n"
            "backend = resolve('numba')\n"
            "print(backend.threads, backend.blas is None, backend.blas_threads())\n"
        )
        if variables.get("NUMBA_NUM_THREADS") == "2" and threads.affinity() < 2:
            pytest.skip("a single core")
        told = python(code, **variables)
        if "True" in told:
            pytest.skip("no private BLAS here")
        assert told == f"{expected} False 0\n"


def runs():
    """Every command that trains."""
    group = cli.commands["run"]
    found = {f"run {name}": group.get_command(None, name) for name in group.list_commands(None)}
    return found | {"train": cli.commands["train"]}


class TestTheOption:
    @pytest.mark.parametrize("name", runs())
    def test_is_of_every_run(self, name):
        command = runs()[name]
        assert isinstance(command, click.Command)
        assert sum("--threads" in parameter.opts for parameter in command.params) == 1

    @pytest.mark.parametrize("device", ["numpy", "cpu"])
    @pytest.mark.parametrize("count", [1, 2])
    def test_sets_the_number_and_the_result_names_it(self, tmp_path, device, count):
        if count > threads.affinity():
            pytest.skip("a single core")
        code = (
            "from nnx.cli.main import main\n"
            f"main(['run', 'xor', '--epochs', '2', '-q', '--json', '--device', {device!r},\n"
            f"      '--out', {str(tmp_path / 'run')!r}, '--threads', '{count}'])\n"
        )
        assert json.loads(python(code))["environment"]["threads"] == count

    def test_a_number_that_makes_no_sense_is_refused(self):
        with pytest.raises(click.UsageError, match="must be a whole number of at least 1"):
            cli.main(["run", "xor", "--threads", "0"], standalone_mode=False)


@pytest.mark.parametrize(
    ("pool", "name"),
    [
        ({"internal_api": "openblas", "version": "0.3.3.1.2", "architecture": "Zen"}, "OpenBLAS 0.3.3 (Zen)"),
        ({"internal_api": "mkl", "version": "2025.3-Product"}, "MKL 2025.3-Product"),
        ({"internal_api": "other", "version": None}, "other"),
    ],
)  # fmt: skip
def test_numpys_blas_has_a_name(monkeypatch, pool, name):
    monkeypatch.setattr(threads, "_pools", lambda: [pool])
    assert threads.name_of_blas() == name
    monkeypatch.setattr(threads, "_pools", list)
    assert threads.name_of_blas() == "unknown"


def pool(library, path):
    """A BLAS as threadpoolctl describes it."""
    return {"user_api": "blas", "internal_api": library, "filepath": path, "num_threads": 1 + len(path)}


@pytest.mark.parametrize(
    ("library", "variables"),
    [
        ("openblas", ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")),
        ("mkl", ("MKL_NUM_THREADS", "OMP_NUM_THREADS")),
        ("flexiblas", threads.OF_BLAS),
    ],
)
def test_condas_blas_is_found_beside_the_private_one(monkeypatch, library, variables):
    """It lies in the environment's folder of libraries, and not next to NumPy."""
    theirs = pool(library, "/opt/conda/lib/libblas.so.3")
    private = pool("openblas", "/opt/conda/lib/python3.12/site-packages/scipy_openblas32/lib/libopenblas.so")
    monkeypatch.setattr("threadpoolctl.threadpool_info", lambda: [private, theirs])
    assert threads._pools() == [theirs]
    assert threads.variables_of_blas() == variables
