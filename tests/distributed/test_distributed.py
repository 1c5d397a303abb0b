"""A job of several ranks leaves the results of one process, and one process is a job of one rank."""

from __future__ import annotations

import json
import os
import select
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from support import mpi_jobs
from support.mpi_jobs import TIMEOUT, needs_mpi

import nnx
from nnx.distributed import ALONE, Communicator
from nnx.distributed.supervisor import RANKS, until_read


class TestTheCommandLine:
    pytestmark = needs_mpi

    def start(self, tmp_path: Path, ranks: int, *options: object):
        command = ("-m", "nnx", "run", "autoencoder", "--distributed", "mpi", "--rank-timeout", 30)
        every = (*command, "--dataset", "digits", "--dtype", "float64", *options)
        return mpi_jobs.start(ranks, *every, cwd=tmp_path, NNX_CACHE_DIR=str(tmp_path / "cache"))

    def test_ranks_leave_the_folder_of_one_process(self, tmp_path):
        for ranks, out in ((1, "one"), (3, "three")):
            options = ("--preset", "shallow", "--epochs", 3, "--out", out, "--json")
            stdout, err = self.start(tmp_path, ranks, *options).communicate(timeout=60)
            assert json.loads(stdout)["artifacts"]["model"] == "model.safetensors"
            assert err.count("epoch 1/3") == 1
        one, three = (
            np.genfromtxt(tmp_path / out / "history.csv", delimiter=",", skip_header=1)
            for out in ("one", "three")
        )
        np.testing.assert_allclose(three, one, rtol=1e-9)
        stdout, err = self.start(tmp_path, 3, *options).communicate(timeout=60)
        assert err.count("already holds a result") == 1
        assert not stdout

    def test_a_stopped_run_resumes_with_other_ranks(self, tmp_path):
        """The preset with two trainings: the first exchanges rows of a batch, which lie on several ranks."""
        options = ("--preset", "best", "--epochs", 8, "--out")
        done = self.start(tmp_path, 1, *options, "whole")
        done.communicate(timeout=120)
        assert done.returncode == 0
        process = self.start(tmp_path, 2, *options, "ended", "--checkpoint-every", 1000)
        assert any("epoch 1/" in line for line in iter(process.stderr.readline, ""))
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
        assert process.returncode != 0
        assert err.count("to resume: mpiexec -n 2 nnx run autoencoder") == 1
        process = self.start(tmp_path, 3, *options, "ended", "--resume")
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        whole, ended = (
            np.genfromtxt(tmp_path / out / "history.csv", delimiter=",", skip_header=1)
            for out in ("whole", "ended")
        )
        np.testing.assert_allclose(ended, whole, rtol=1e-9)
        metrics = [
            json.loads((tmp_path / out / "result.json").read_text())["metrics"] for out in ("whole", "ended")
        ]
        pretraining = [found.pop("pretraining_loss") for found in metrics]
        np.testing.assert_allclose(pretraining[1], pretraining[0], rtol=1e-9)
        assert metrics[1] == pytest.approx(metrics[0], rel=1e-8)

    def test_ranks_train_on_ones_own_data_as_one_process_does(self, tmp_path):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(203, 5)) * 9 + 3
        np.savez(tmp_path / "data.npz", x=x, y=(x[:, 0] > 3).astype(int))
        given = ("data.npz", "--epochs", 3, "--dtype", "float64", "--rank-timeout", 30, "-q", "--json")
        found = []
        for ranks in (1, 2):
            command = ("-m", "nnx", "train", *given, "--distributed", "mpi", "--out", f"of-{ranks}")
            done = mpi_jobs.run(ranks, *command, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            found.append(json.loads(done.stdout)["metrics"])
        one, two = (
            np.genfromtxt(tmp_path / f"of-{ranks}" / "history.csv", delimiter=",", skip_header=1)
            for ranks in (1, 2)
        )
        np.testing.assert_allclose(two, one, rtol=1e-9)
        losses = [metrics.pop("validation_loss") for metrics in found]
        assert losses[1] == pytest.approx(losses[0], rel=1e-9)
        assert found[1] == found[0]
        np.savez(tmp_path / "data.npz", x=x[:2], y=[1, 1])
        command = ("-m", "nnx", "train", *given, "--distributed", "mpi", "--out", "none")
        done = mpi_jobs.run(2, *command, cwd=tmp_path)
        assert done.returncode != 0
        assert done.stderr.count("at least two classes") == 1

    def test_ctrl_c_ends_all_ranks_and_another_number_of_ranks_resumes(self, tmp_path):
        options = ("--preset", "shallow", "--epochs", 12, "--checkpoint-every", 1000)
        process = self.start(tmp_path, 2, *options, "--out", "job")
        assert any("epoch 2/" in line for line in iter(process.stderr.readline, ""))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode != 0
        assert err.count(", in job; to resume: mpiexec -n 2 nnx run autoencoder --distributed mpi") == 1
        assert err.count("nnx: interrupted") == 1
        assert len(list((tmp_path / "job" / "checkpoints").glob("fit-1-*"))) == 2  # the first, and the last
        for ranks, out, resume in ((3, "job", ["--resume"]), (1, "whole", [])):
            ended = self.start(tmp_path, ranks, *options, *resume, "--out", out)
            _, err = ended.communicate(timeout=120)
            assert ended.returncode == 0, err
        job, whole = (
            np.genfromtxt(tmp_path / out / "history.csv", delimiter=",", skip_header=1)
            for out in ("job", "whole")
        )
        np.testing.assert_allclose(job, whole, rtol=1e-9)

    def test_a_killed_rank_is_named(self, tmp_path):
        process = self.start(tmp_path, 2, "--epochs", 2000, "--out", "killed")
        read = iter(process.stderr.readline, "")
        assert any("epoch 100/" in line for line in read)
        processes = [int(place.name) for place in Path("/proc").iterdir() if place.name.isdigit()]
        found = [pid for pid in processes if rank_of(pid) == "1"]
        os.kill(max(found), signal.SIGKILL)  # the younger of the two: its parent waits for it
        _, err = process.communicate(timeout=TIMEOUT + 12)
        assert process.returncode != 0
        assert err.count("nnx: rank 1 was ended by SIGKILL") == 1


def rank_of(pid: int) -> str | None:
    """The rank that a launcher gave a process of the command line."""
    try:
        if b"killed" not in Path(f"/proc/{pid}/cmdline").read_bytes():
            return None
        pairs = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    found = dict(pair.split(b"=", 1) for pair in pairs if b"=" in pair)
    return next((found[name].decode() for name in map(str.encode, RANKS) if name in found), None)


class TestOneProcess:
    def test_is_a_job_of_its_own(self):
        assert (ALONE.rank, ALONE.size) == (0, 1)
        x = np.arange(4.0)
        assert ALONE.sum(x) is x
        assert ALONE.gather("a") == ["a"]
        assert ALONE.broadcast("a") == "a"
        assert ALONE.broadcast(x) is x
        ALONE.barrier()
        first, second = ALONE.sums(x, y := x + 1.0)
        assert first is x
        assert second is y
        ALONE.pool_moments(x, y, 1.0)
        np.testing.assert_array_equal([x, y], [np.arange(4.0), np.arange(4.0) + 1.0])
        ALONE.agree({"anything": 1})
        assert ALONE.shard(5).share == 1.0

    def test_rows_are_dealt_in_order_and_all_of_them(self):
        for size in (1, 2, 3, 7):
            for rows in (1, 2, 6, 7, 256):
                parts = []
                for rank in range(size):
                    communicator = Communicator()
                    communicator.rank, communicator.size = rank, size
                    parts.append(communicator.shard(rows))
                dealt = [n for part in parts for n in range(part.start, part.start + part.rows)]
                assert dealt == list(range(rows))
                assert all(part.stop > part.start for part in parts), "every rank computes with a row"
                assert max(part.rows for part in parts) - min(part.rows for part in parts) <= 1

    def test_what_was_printed_last_is_waited_for(self, tmp_path):
        """As a launcher reads it from a pipe; what goes to a file is waited for by nobody."""
        reading, writing = os.pipe()
        read = []

        def later() -> None:
            time.sleep(0.1)
            read.append(os.read(reading, 100))

        with os.fdopen(writing, "w") as pipe, (tmp_path / "file").open("w") as file:
            pipe.write("last words")
            pipe.flush()
            launcher = threading.Thread(target=later)
            launcher.start()
            until_read(pipe)
            assert select.select([reading], [], [], 0)[0] == [], "there is something left to read"
            launcher.join()
            until_read(file)
        os.close(reading)
        assert read == [b"last words"]

    def test_bad_ways_to_connect_are_refused(self):
        with pytest.raises(nnx.ConfigurationError, match=r"'mpy': did you mean 'mpi'"):
            nnx.distributed.connect("mpy")
        with pytest.raises(nnx.ConfigurationError, match="positive number of seconds"):
            nnx.distributed.connect("mpi", timeout=0)

    def test_fit_takes_nothing_else_for_a_communicator(self):
        network = nnx.Network([nnx.Dense(2, 1)], device="numpy")
        with pytest.raises(nnx.ConfigurationError, match=r"from nnx\.distributed\.connect, not str"):
            network.fit(
                np.ones((4, 2)), np.ones((4, 1)), loss=nnx.MeanSquaredError(), optimizer=nnx.SGD(0.1),
                batch_size=2, communicator="mpi",
            )  # fmt: skip
