"""Too little memory: one line says what needs how much."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import numpy as np
import pytest

import nnx
from nnx.backends import control_groups, host_memory

X = np.random.default_rng(0).random((4000, 16), dtype=np.float32)
LEFT = 2**20


def network(width=64):
    return nnx.Network([nnx.Dense(16, width), nnx.ReLU(), nnx.Dense(16)], device="numpy", seed=0)


def fit(built, batch_size):
    return built.fit(X, X, loss=nnx.MeanSquaredError(), optimizer=nnx.Adam(), batch_size=batch_size)


@pytest.fixture
def little(monkeypatch):
    """A machine on which a mebibyte is left."""
    monkeypatch.setattr(host_memory, "free", lambda **_: LEFT)


@pytest.mark.usefixtures("little")
def test_a_batch_too_large_is_refused_with_its_size_before_training():
    built = network().build(16)
    before = built.weights()
    # the outputs, two gradients of at most 64 numbers a row, the input, the target and what goes back
    size = 4000 * 4 * (64 + 16 + 2 * 64 + 16 + 2 * 16)
    expected = rf"a batch of 4,000 rows .*{size / 2**20:.4g} MiB .*1 MiB .*batch_size"
    with pytest.raises(nnx.OutOfMemoryError, match=expected) as caught:
        fit(built, 4000)
    assert isinstance(caught.value, MemoryError)
    for name, value in built.weights().items():
        np.testing.assert_array_equal(value, before[name])
    assert len(fit(built, 100)["loss"]) == 1  # and it is none the worse for it


@pytest.mark.usefixtures("little")
def test_predictions_are_made_in_batches_that_fit():
    built = network(1024)
    with pytest.raises(
        nnx.OutOfMemoryError, match=r"a batch of 4,000 rows .* 31.49 MiB .*: lower batch_size"
    ):
        built.predict(X, batch_size=4000)
    assert built.predict(X, batch_size=50).shape == X.shape


@pytest.mark.usefixtures("little")
def test_a_network_or_data_too_large_are_refused():
    with pytest.raises(nnx.OutOfMemoryError, match=r"a network of 330,016 parameters .* 2\.518 MiB"):
        network(10_000).build(16)
    wide = np.zeros((4000, 100), np.int16)
    with pytest.raises(nnx.OutOfMemoryError, match=r"x of shape \(4000, 100\) in float32 .* 1.526 MiB"):
        nnx.Network([nnx.Dense(1)], seed=0).fit(
            wide, wide[:, 0], loss=nnx.MeanSquaredError(), optimizer=nnx.SGD()
        )


def test_a_small_training_reads_nothing_of_the_system(monkeypatch):
    monkeypatch.setattr(host_memory, "free", lambda **_: pytest.fail("looked"))
    built = network().build(16)
    built.fit(X[:50], X[:50], loss="mse", optimizer="adam", batch_size=20)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not keep to RLIMIT_DATA")
def test_a_system_that_refuses_memory_is_explained():
    """The limit is one that only asking for memory finds, where the system says nothing of it."""
    code = (
        "import resource, numpy as np, nnx\n"
        "from nnx.backends import host_memory\n"
        "host_memory.free = lambda **_: None\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (2**28, 2**28))\n"
        "network = nnx.Network([nnx.Dense(1, 2**16), nnx.Dense(1)], device='numpy', seed=0)\n"
        "x = np.zeros((10_000, 1), np.float32)\n"
        "try:\n    network.predict(x, batch_size=10_000)\n"
        "except nnx.OutOfMemoryError as error:\n    print(error)\n"
        "print(network.predict(x, batch_size=100).shape)\n"
    )
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, timeout=60
    )
    assert done.returncode == 0, done.stderr
    refusal, shape = done.stdout.splitlines()
    assert re.fullmatch(r"a batch of 10,000 rows .* 4\.9 GiB .*batch_size", refusal)
    assert shape == "(10000, 1)"


def machine(folder, meminfo, groups, mounts, files):
    """A file system that says what a kernel would; `files` by their paths in it."""
    wanted = {"proc/meminfo": meminfo, "proc/self/cgroup": groups, "proc/self/mountinfo": mounts} | files
    for name, text in wanted.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if text.endswith("\n") else f"{text}\n")
    return folder


MEMINFO = "MemTotal:   4000 kB\nMemAvailable:    1000 kB\nSwapFree:          24 kB\n"
TWO = "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate"
ONE = (
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "34 31 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw"
)
IN_TWO, IN_ONE = "0::/user/job", "4:memory:/user/job\n1:cpu,cpuacct:/user/job\n0::/user"
WITHOUT_LIMIT = "9223372036854771712"
JOB = "sys/fs/cgroup/user/job"
JOB_IN_ONE = "sys/fs/cgroup/memory/user/job"


@pytest.mark.parametrize(
    ("groups", "mounts", "files", "expected"),
    [
        pytest.param("", "", {}, 2**20, id="no groups"),
        pytest.param(IN_TWO, TWO, {f"{JOB}/memory.max": "max"}, 2**20, id="v2, no limit"),
        pytest.param(IN_TWO, TWO, {f"{JOB}/memory.max": "8192"}, 8192 + 24 * 1024, id="v2, also swap"),
        pytest.param(
            IN_TWO, TWO,
            {f"{JOB}/memory.max": "8192", f"{JOB}/memory.swap.max": "0", f"{JOB}/memory.current": "5000"},
            3192, id="v2, no swap, what is used is taken off",
        ),
        pytest.param(
            IN_TWO, TWO,
            {f"{JOB}/memory.max": "8192", f"{JOB}/memory.current": "5000",
             f"{JOB}/memory.swap.max": "500", f"{JOB}/memory.swap.current": "200",
             f"{JOB}/memory.stat": "anon 4000\ninactive_file 600\nactive_file 40\nshmem 7"},
            3192 + 640 + 300, id="v2, some swap, pages of files can be had back",
        ),
        pytest.param(
            IN_TWO, TWO,
            {f"{JOB}/memory.max": "90000", f"{JOB}/memory.swap.max": "0",
             "sys/fs/cgroup/user/memory.max": "70000", "sys/fs/cgroup/user/memory.current": "65000",
             "sys/fs/cgroup/user/memory.swap.max": "0"},
            5000, id="v2, a group further up allows less",
        ),
        pytest.param(
            IN_TWO, TWO,
            {f"{JOB}/memory.max": "4096", f"{JOB}/memory.swap.max": "0", f"{JOB}/memory.current": "5000"},
            0, id="v2, above its limit",
        ),
        pytest.param(
            "0::/", TWO, {"sys/fs/cgroup/memory.max": "4096", "sys/fs/cgroup/memory.swap.max": "0"}, 4096,
            id="v2, a container that sees its own group as the top",
        ),
        pytest.param(
            IN_ONE, ONE, {f"{JOB_IN_ONE}/memory.limit_in_bytes": WITHOUT_LIMIT}, 2**20, id="v1, no limit"
        ),
        pytest.param(
            IN_ONE, ONE,
            {f"{JOB_IN_ONE}/memory.limit_in_bytes": "8192", f"{JOB_IN_ONE}/memory.usage_in_bytes": "5000",
             f"{JOB_IN_ONE}/memory.stat": "inactive_file 1\ntotal_inactive_file 600\ntotal_active_file 40"},
            3192 + 640 + 24 * 1024, id="v1, a limit without swap's",
        ),
        pytest.param(
            IN_ONE, ONE,
            {f"{JOB_IN_ONE}/memory.limit_in_bytes": "8192", f"{JOB_IN_ONE}/memory.usage_in_bytes": "5000",
             f"{JOB_IN_ONE}/memory.memsw.limit_in_bytes": "9000",
             f"{JOB_IN_ONE}/memory.memsw.usage_in_bytes": "5500"},
            3500, id="v1, a limit of both together",
        ),
        pytest.param(
            IN_ONE, ONE,
            {f"{JOB_IN_ONE}/memory.limit_in_bytes": WITHOUT_LIMIT,
             "sys/fs/cgroup/memory/memory.memsw.limit_in_bytes": "7000"},
            7000, id="v1, the topmost group allows less",
        ),
        pytest.param(
            "4:memory:/docker/4f2",
            "33 31 0:30 /docker/4f2 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory",
            {"sys/fs/cgroup/memory/memory.limit_in_bytes": "5000",
             "sys/fs/cgroup/memory/memory.memsw.limit_in_bytes": "5000"},
            5000, id="v1, a container whose group is mounted at the top",
        ),
        pytest.param(
            "4:memory:/../../other", "33 31 0:30 / /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory",
            {"sys/fs/cgroup/memory/memory.memsw.limit_in_bytes": "5000"},
            5000, id="v1, a group that is not seen",
        ),
        pytest.param(
            "0::/a b", "31 23 0:28 / /sys/my\\040groups rw - cgroup2 cgroup2 rw",
            {"sys/my groups/a b/memory.max": "6000", "sys/my groups/a b/memory.swap.max": "0"}, 6000,
            id="names with spaces",
        ),
        pytest.param("not a line", "neither", {}, 2**20, id="what cannot be read is left out"),
    ],
)  # fmt: skip
def test_what_is_left_is_the_least_that_any_group_leaves(tmp_path, groups, mounts, files, expected):
    assert host_memory.free(machine(tmp_path, MEMINFO, groups, mounts, files)) == expected


def test_a_system_that_says_nothing_has_no_known_limit(tmp_path):
    assert host_memory.free(tmp_path) is None
    files = {f"{JOB}/memory.max": "6000", f"{JOB}/memory.swap.max": "0"}
    assert host_memory.free(machine(tmp_path, "nothing known", IN_TWO, TWO, files)) == 6000


@pytest.mark.parametrize(
    ("groups", "mounts", "files", "expected"),
    [
        (IN_TWO, TWO, {f"{JOB}/cpu.max": "150000 100000"}, 1.5),
        (IN_TWO, TWO, {f"{JOB}/cpu.max": "max 100000"}, None),
        (IN_TWO, TWO, {f"{JOB}/cpu.max": "max 100000", "sys/fs/cgroup/user/cpu.max": "50000 100000"}, 0.5),
        (
            IN_ONE, ONE,
            {"sys/fs/cgroup/cpu,cpuacct/user/job/cpu.cfs_quota_us": "200000",
             "sys/fs/cgroup/cpu,cpuacct/user/job/cpu.cfs_period_us": "100000"},
            2.0,
        ),
        (IN_ONE, ONE, {"sys/fs/cgroup/cpu,cpuacct/user/job/cpu.cfs_quota_us": "-1"}, None),
        ("", "", {}, None),
    ],
)  # fmt: skip
def test_the_quota_of_processors_is_read(tmp_path, groups, mounts, files, expected):
    assert control_groups.processors(machine(tmp_path, MEMINFO, groups, mounts, files)) == expected


def in_a_limit(tmp_path, code, mebibytes):
    """Run code in a process that may have so many MiB more than after its start."""
    start = (
        "import resource, sys, numpy as np, nnx, nnx.model_files, safetensors.numpy\n"
        "def limit(mebibytes):\n"
        "    now = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "    resource.setrlimit(resource.RLIMIT_AS, (now + int(mebibytes * 2**20),) * 2)\n"
        "mebibytes = float(sys.argv[1])\n"
        "nnx.backends.resolve('numpy')\n"  # modules are loaded before the limit
    )
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "NNX_DEVICE": "numpy"}
    done = subprocess.run(
        [sys.executable, "-c", start + code, str(mebibytes)], cwd=tmp_path, env=environment, text=True,
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


LOADS = (
    "limit(mebibytes)\n"
    "try:\n    print(nnx.load('m.safetensors').predict(np.ones((1, 2000), 'f4')).shape)\n"
    "except nnx.OutOfMemoryError as error:\n    print('refused:', error)\n"
)
SAVES = (
    "network = nnx.load('m.safetensors')\nlimit(mebibytes)\n"
    "try:\n    network.save('n.safetensors'); print('saved')\n"
    "except nnx.OutOfMemoryError as error:\n    print('refused:', error)\n"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model file of 30.5 MiB."""
    folder = tmp_path_factory.mktemp("model")
    nnx.Network([nnx.Dense(2000, 4000)], seed=0, device="numpy").save(folder / "m.safetensors")
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not keep to RLIMIT_AS")
class TestAModelFileUnderALimitOfMemory:
    @pytest.mark.parametrize("mebibytes", [2, 32, 60])
    def test_is_not_read_where_it_does_not_fit(self, model, mebibytes):
        told = in_a_limit(model, LOADS, mebibytes)
        assert re.fullmatch(r"refused: reading m.safetensors .*38.5\d MiB of memory, .* left: .*", told)

    @pytest.mark.parametrize("mebibytes", [80])
    def test_says_what_its_network_takes(self, model, mebibytes):
        told = in_a_limit(model, LOADS, mebibytes)
        expected = r"refused: .*m.safetensors: .* 8,004,000 parameters .* 61.07 MiB .*"
        assert re.fullmatch(expected, told), told

    def test_is_loaded_where_three_times_its_size_is_left(self, model):
        assert in_a_limit(model, LOADS, 150) == "(1, 4000)"

    @pytest.mark.parametrize("mebibytes", [12])
    def test_is_written_where_hardly_anything_is_left(self, model, mebibytes):
        assert in_a_limit(model, SAVES, mebibytes) == "saved"
        assert (model / "n.safetensors").read_bytes() == (model / "m.safetensors").read_bytes()


def test_a_model_that_memory_is_too_short_for_is_not_called_damaged(tmp_path, monkeypatch):
    network().build(16).save(tmp_path / "m.safetensors")
    monkeypatch.setattr(host_memory, "free", lambda **_: 1000)
    with pytest.raises(nnx.OutOfMemoryError, match=r"reading .*m\.safetensors .* 8\.\d* MiB"):
        nnx.load(tmp_path / "m.safetensors")


def test_sizes_have_units():
    assert [host_memory.size(n) for n in (12, 2048, 3 * 2**20, 5 * 2**40)] == [
        "12 bytes", "2 KiB", "3 MiB", "5120.0 GiB",
    ]  # fmt: skip
