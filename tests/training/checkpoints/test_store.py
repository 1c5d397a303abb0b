"""Damaged checkpoints, folders that fail, two runs in one folder: nothing is lost, nothing is trusted."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from support.checkpoint_faults import At, damage, meaning, small_disk, write_large
from support.command_line import command, visible
from support.places import with_helpers
from support.resumed import KillAt, Killed, killed, names, same, train

import nnx
from nnx.files import locked

pytestmark = pytest.mark.slow

FLIPS = 1000  # of a large file; `python tests/soak/damage.py` tries 10,000


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> bytes:
    """A checkpoint of a network of nine numbers."""
    folder = tmp_path_factory.mktemp("small")
    made = nnx.Network([nnx.Dense(2, 3)], seed=0, device="numpy")
    x = np.eye(2)
    made.fit(
        x, np.ones((2, 3)), loss=nnx.MeanSquaredError(), optimizer=nnx.SGD(0.1, momentum=0.5), batch_size=2,
        checkpoint=nnx.Checkpoint(folder),
    )  # fmt: skip
    return (folder / "fit-1-step-1.safetensors").read_bytes()


def test_a_checkpoint_cut_at_any_length_is_refused(small, tmp_path):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(small)
    for length in range(len(small) - 1, -1, -1):
        os.truncate(path, length)
        assert meaning(path) == "refused", length


def test_a_checkpoint_with_any_bit_flipped_is_refused(small, tmp_path):
    """Each bit of the file, one after another."""
    path = tmp_path / "flipped.safetensors"
    path.write_bytes(small)
    with path.open("r+b", buffering=0) as file:
        for place, byte in enumerate(small):
            for bit in range(8):
                os.pwrite(file.fileno(), bytes([byte ^ (1 << bit)]), place)
                assert meaning(path) == "refused", (place, bit, small[place - 20 : place + 20])
            os.pwrite(file.fileno(), bytes([byte]), place)
    assert meaning(path) != "refused"


def test_a_large_checkpoint_damaged_anywhere_is_refused(tmp_path):
    path = write_large(tmp_path)
    assert damage(path, FLIPS, seed=1) == 0


# ------------------------------------------------------------- the one before


@pytest.mark.parametrize("how", ["cut", "flipped", "empty", "of another kind"])
def test_the_checkpoint_before_a_damaged_one_is_used(tmp_path, how, caplog):
    killed(tmp_path, 20)
    newest, whole = tmp_path / "fit-1-step-18.safetensors", train()
    data = newest.read_bytes()
    flipped = data[:-9] + bytes([data[-9] ^ 4]) + data[-8:]
    newest.write_bytes(
        {"cut": data[:999], "flipped": flipped, "empty": b"", "of another kind": b"PK" * 99}[how]
    )
    same(train(checkpoint=nnx.Checkpoint(tmp_path, resume=True)), whole)
    assert f"{newest}" in caplog.text
    assert (tmp_path / f"{newest.name}.damaged").exists()


def test_if_no_checkpoint_is_intact_training_does_not_start_again(tmp_path):
    killed(tmp_path, 20)
    there = list(tmp_path.glob("fit-*"))
    assert len(there) == 3
    for path in there:
        path.write_bytes(b"")
    with pytest.raises(nnx.FileFormatError, match=f"3 checkpoints .*{tmp_path}"):
        train(checkpoint=nnx.Checkpoint(tmp_path, resume=True))


def test_nor_the_second_time(tmp_path):
    killed(tmp_path, 20)
    for path in tmp_path.glob("fit-*"):
        path.write_bytes(b"")
    for _ in range(2):
        with pytest.raises(nnx.FileFormatError, match="3 checkpoints"):
            train(checkpoint=nnx.Checkpoint(tmp_path, resume=True))
    assert [name.endswith(".damaged") for name in names(tmp_path)] == [True] * 3


def test_an_older_damaged_one_is_not_overwritten(tmp_path):
    killed(tmp_path, 20)
    (tmp_path / "fit-1-step-18.safetensors.damaged").write_bytes(b"older")
    (tmp_path / "fit-1-step-18.safetensors").write_bytes(b"newer")
    train(checkpoint=nnx.Checkpoint(tmp_path, resume=True))
    assert (tmp_path / "fit-1-step-18.safetensors.damaged").read_bytes() == b"older"
    assert (tmp_path / "fit-1-step-18.safetensors.damaged-2").read_bytes() == b"newer"


UNREADABLE = """
import os, sys
import numpy as np, nnx, safetensors.numpy
from pathlib import Path
from support.resumed import same, train
folder, how = Path(sys.argv[1]), sys.argv[2]
files = sorted(folder.iterdir())
whole = train()  # Python loads some modules late: now they can be read
owner, modes = os.geteuid(), [(path, path.stat().st_mode) for path in (*files, folder)]
if how == "files":
    for path in files: path.chmod(0)
    folder.chmod(0o777)
else:
    folder.chmod(0o333)
if owner == 0:  # who may read anything
    os.seteuid(65534)
try:
    train(checkpoint=nnx.Checkpoint(folder, every=3, resume=True))
except nnx.NnxError as error:
    print(error)
os.seteuid(owner)
for path, mode in modes: path.chmod(mode)
assert sorted(path for path in folder.iterdir() if path.name != ".lock") == files, list(folder.iterdir())
same(train(checkpoint=nnx.Checkpoint(folder, every=3, resume=True)), whole)
"""


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX")
@pytest.mark.parametrize("how", ["files", "folder"])
def test_checkpoints_that_cannot_be_read_now_are_not_called_damaged(how):
    """Nothing is renamed, nothing begun anew; the owner resumes where the run was."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        folder = Path(place) / "kept"
        killed(folder, 20)
        done = python(UNREADABLE, folder, how)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("cannot read"), done.stdout
    assert "Permission denied" in done.stdout


SHORT = """
import resource, sys
import numpy as np, nnx, safetensors.numpy
from pathlib import Path
folder = Path(sys.argv[1])
def fit(more=None, **options):
    made = nnx.Network([nnx.Dense(3000, 3000)], seed=0, device="numpy")
    x = np.ones((2, 3000))
    if more is not None:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + more * 2**20, limits[1]))
    try:
        made.fit(x, x, loss=nnx.MeanSquaredError(), optimizer=nnx.SGD(0.1), batch_size=2, epochs=2,
                 checkpoint=nnx.Checkpoint(folder, every=1, **options))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    return made
limits = resource.getrlimit(resource.RLIMIT_AS)
whole = fit().weights()["dense_1.W"]
files = sorted(folder.iterdir())
for more in (20, 50, 80):
    try:
        fit(more, resume=True)
    except (nnx.NnxError, MemoryError) as error:
        print(type(error).__name__, error)
    assert sorted(folder.iterdir()) == files
assert (fit(resume=True).weights()["dense_1.W"] == whole).all()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads and sets limits as Linux has them")
def test_checkpoints_that_memory_is_too_short_for_are_not_called_damaged(tmp_path):
    done = python(SHORT, tmp_path / "kept")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "OutOfMemoryError" in done.stdout
    assert "damaged" not in done.stdout + done.stderr


def python(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=with_helpers(), text=True, capture_output=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("change", ["format version", "another's file", "a folder"])
def test_a_checkpoint_that_is_whole_but_not_for_this_nnx_stays_and_nothing_is_begun(tmp_path, change):
    killed(tmp_path, 20)
    newest = tmp_path / "fit-1-step-18.safetensors"
    if change == "format version":
        arrays, header = load_file(newest), header_of(newest)
        save_file(arrays, newest, header | {"format_version": "2"})
    elif change == "another's file":
        save_file({"a": np.ones(3)}, newest)
    else:
        newest.unlink()
        newest.mkdir()
    before = names(tmp_path)
    with pytest.raises(nnx.FileFormatError, match=r"fit-1-step-18\.safetensors"):
        train(checkpoint=nnx.Checkpoint(tmp_path, resume=True))
    assert names(tmp_path) == before


def header_of(path):
    with safe_open(path, framework="numpy") as file:
        return file.metadata()


def test_what_a_kill_left_half_written_is_cleared_away(tmp_path):
    killed(tmp_path, 20)
    (tmp_path / ".nnx-0123456789abcdef.tmp").write_bytes(b"half")
    (tmp_path / ".lock").write_bytes(b"nnx\n")  # stale: its process is gone
    own = {".notes.tmp": b"mine", ".nnx-notes.tmp": b"mine too"}
    for name, data in own.items():
        (tmp_path / name).write_bytes(data)
    same(train(checkpoint=nnx.Checkpoint(tmp_path, resume=True)), train())
    hidden = [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert {path.name: path.read_bytes() for path in hidden} == own


# --------------------------------------------------------------------- folders


HOLD = """
import sys, time
from pathlib import Path
from nnx.files import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_run_in_one_folder_is_refused_and_a_killed_one_holds_nothing(tmp_path):
    (tmp_path / "run").mkdir()
    environment = os.environ | {"PYTHONPATH": str(Path(nnx.__file__).parents[1])}
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")], env=environment, stdout=subprocess.PIPE
    )
    assert first.stdout is not None
    first.stdout.readline()
    try:
        with pytest.raises(nnx.OutputError, match=str(tmp_path / "run")):
            train(checkpoint=nnx.Checkpoint(tmp_path / "run"))
        done = command(tmp_path, "run", "xor", "--epochs", 5, "--out", "run", "-q")
        assert done.returncode == 1
        assert done.stderr.startswith("nnx: another run is using run: ")
        assert visible(tmp_path / "run") == [".lock"]
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate()
    train(checkpoint=nnx.Checkpoint(tmp_path / "run"))
    assert ".lock" not in names(tmp_path / "run")


def test_within_one_process_too(tmp_path):
    with locked(tmp_path):
        with pytest.raises(nnx.OutputError, match="another run"), locked(tmp_path):
            pass
        assert (tmp_path / ".lock").exists()
    with locked(tmp_path):
        pass


def test_a_folder_that_is_removed_ends_the_run_with_a_line(tmp_path):
    folder = tmp_path / "kept"
    removal = At(10, lambda: shutil.rmtree(folder))
    with pytest.raises(
        nnx.OutputError, match=rf"cannot write {folder}/fit-1-step-12\.safetensors \(No such file"
    ):
        train(callbacks=[removal], checkpoint=nnx.Checkpoint(folder, every=4))


def test_a_disk_that_is_full_loses_nothing(tmp_path):
    with small_disk(tmp_path / "disk", "64k") as grow:
        folder = tmp_path / "disk" / "kept"
        with pytest.raises(nnx.OutputError, match="No space left on device"):
            train(checkpoint=nnx.Checkpoint(folder, every=3, keep=99))
        assert names(folder)[0] == "fit-1-step-0.safetensors"
        assert not [name for name in names(folder) if name.endswith(".tmp")]
        grow("4m")
        same(train(checkpoint=nnx.Checkpoint(folder, every=3, resume=True)), train())


READ_ONLY = """
import os, sys
import numpy as np, nnx, safetensors.numpy
from support.resumed import same, train
from support.checkpoint_faults import At
folder = sys.argv[1]
whole = train()
owner = os.geteuid()
def refuse():
    os.chmod(folder, 0o555)
    if owner == 0:  # who may write anywhere
        os.seteuid(65534)
try:
    train(callbacks=[At(10, refuse)], checkpoint=nnx.Checkpoint(folder, every=3))
except nnx.OutputError as error:
    print(error)
os.seteuid(owner)
os.chmod(folder, 0o700)
same(train(checkpoint=nnx.Checkpoint(folder, every=3, resume=True)), whole)
"""


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX")
def test_a_folder_that_becomes_read_only_loses_nothing():
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "kept"
        folder.mkdir()
        Path(place).chmod(0o755)
        done = subprocess.run(
            [sys.executable, "-c", READ_ONLY, str(folder)],
            env=with_helpers(), text=True, capture_output=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"cannot write {folder}/fit-1-step-12.safetensors (Permission denied)")


RUN = ("run", "autoencoder", "--dataset", "digits", "--preset", "shallow", "--epochs", 2, "--batch-size", 64,
       "--device", "numpy", "--checkpoint-every", 10, "--out", "run", "-q")  # fmt: skip


def test_a_run_whose_disk_is_full_before_its_first_checkpoint_leaves_nothing(tmp_path):
    """Within the limit there is room for a checkpoint's description and not for its arrays."""
    done = command(tmp_path, *RUN, limit=20_000)
    assert done.returncode == 1
    error = done.stderr.splitlines()[-1]
    assert error.startswith("nnx: cannot write run/checkpoints/fit-1-step-0.safetensors (File too large)")
    assert "is saved" not in done.stderr
    assert not (tmp_path / "run").exists()
    done = command(tmp_path, *RUN, "--resume")  # which a script may always say
    assert done.returncode == 0, done.stderr
    assert nnx.load(tmp_path / "run" / "model.safetensors").inputs == 64


# ------------------------------------------------------------ the command line


def test_what_resume_answers(tmp_path):
    run = ("run", "xor", "--epochs", 40, "--checkpoint-every", 10)
    done = command(tmp_path, *run, "--resume")
    assert (done.returncode, done.stderr.partition(";")[0]) == (
        2, "nnx: --resume needs the folder of the run to resume: add --out FOLDER"
    )  # fmt: skip
    done = command(tmp_path, *run[:2], "--checkpoint-every", "often", "--out", "run")
    assert done.returncode == 2
    assert "'--checkpoint-every': must be a number of steps or a time such as 30s, not 'often'" in done.stderr
    assert visible(tmp_path) == []
    done = command(
        tmp_path, *run, "--out", "run", "--resume", "-q"
    )  # there is nothing yet: from the beginning
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()[-2].partition(";")[0]
    again = command(tmp_path, *run, "--out", "run", "--resume")
    assert again.returncode == 0
    assert again.stderr == "note: the run in run is finished\n"
    assert again.stdout.splitlines()[-2].partition(";")[0] == told
    (tmp_path / "run" / "result.json").unlink()
    other = command(tmp_path, *run, "--out", "run", "--resume", "--preset", "shallow")
    assert other.returncode == 2
    assert (
        "step-40.safetensors is from a run with --preset deep, and this one is with --preset shallow: "
        "resume with the same"
    ) in other.stderr


def test_an_error_in_a_callback_leaves_the_folder_free(tmp_path):
    with pytest.raises(Killed):
        train(callbacks=[KillAt(3)], checkpoint=nnx.Checkpoint(tmp_path))
    with locked(tmp_path):
        pass
