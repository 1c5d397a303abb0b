"""Writing files: other files stay, planted links are not followed, and every file is complete."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest

import nnx
from nnx.files import clear, locked, make_folder, new_folder, opened_log, probe, recorded, replacing

posix = pytest.mark.skipif(os.name != "posix", reason="permissions, links and pipes are POSIX")
NOBODY = 65534
SOURCE = str(Path(nnx.__file__).parents[1])


def network(width=2, seed=0):
    return nnx.Network([nnx.Dense(width, width)], seed=seed, device="numpy")


def write(path, data=b"new"):
    with replacing(path) as file:
        file.write(data)


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def as_root():
    if os.geteuid() != 0:
        pytest.skip("makes device nodes or becomes another user, which needs root")


# ------------------------------------------------------------------- replacing


def test_threads_that_save_to_one_path_leave_one_of_the_networks(tmp_path):
    path = tmp_path / "m.safetensors"
    made = [network(60 + number, number) for number in range(4)]
    failures = []

    def save(one):
        try:
            for _ in range(15):
                one.save(path)
        except Exception as error:
            failures.append(error)

    for _ in range(3):
        threads = [threading.Thread(target=save, args=(one,)) for one in made]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        left = nnx.load(path, device="numpy")
        np.testing.assert_array_equal(left.layers[0].W, made[left.inputs - 60].layers[0].W)
    assert names(tmp_path) == ["m.safetensors"]


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755])
def test_permissions_stay(tmp_path, mode):
    path = tmp_path / "m"
    path.write_bytes(b"old")
    path.chmod(mode)
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_bytes() == b"new"


@posix
def test_a_new_file_has_the_permissions_that_the_user_gives_new_files(tmp_path):
    for mask in (0o022, 0o077):
        before = os.umask(mask)
        try:
            write(tmp_path / f"{mask:o}")
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / f"{mask:o}").stat().st_mode) == 0o666 & ~mask


@posix
def test_the_owner_stays_where_root_writes(tmp_path):
    as_root()
    path = tmp_path / "m"
    path.write_bytes(b"old")
    os.chown(path, NOBODY, NOBODY)
    write(path)
    assert (path.stat().st_uid, path.stat().st_gid) == (NOBODY, NOBODY)


@posix
def test_a_file_that_is_protected_from_writing_stays(tmp_path):
    path = tmp_path / "m"
    path.write_bytes(b"old")
    path.chmod(0o444)
    owner = os.geteuid()
    if owner == 0:  # who may write anything: become somebody else
        for folder in (tmp_path, *tmp_path.parents):
            if Path(tempfile.gettempdir()) in folder.parents:
                folder.chmod(0o755)
        os.chown(path, NOBODY, NOBODY)
        os.chown(tmp_path, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    try:
        with pytest.raises(nnx.OutputError, match="is write-protected"):
            write(path)
    finally:
        os.seteuid(owner)
    assert path.read_bytes() == b"old"


@posix
def test_a_link_stays_and_the_file_it_names_is_replaced(tmp_path):
    (tmp_path / "big").mkdir()
    target, link, second = tmp_path / "big" / "m", tmp_path / "link", tmp_path / "second"
    link.symlink_to("big/m")
    second.symlink_to(link)
    write(second, b"first")  # there is nothing yet where it leads
    write(link, b"then")
    assert link.is_symlink()
    assert second.is_symlink()
    assert target.read_bytes() == b"then"
    assert names(tmp_path) == ["big", "link", "second"]


@posix
def test_a_link_is_not_followed_where_others_can_write(tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    (shared / "m").symlink_to(victim)
    (tmp_path / "own").symlink_to(shared / "m")
    for name in (shared / "m", tmp_path / "own"):
        with pytest.raises(nnx.OutputError, match=str(shared / "m")):
            write(name)
    assert victim.read_bytes() == b"precious"
    assert names(shared) == ["m"]


@posix
def test_a_link_to_itself_is_refused(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(nnx.OutputError, match="cannot write"):
        write(tmp_path / "loop")


@posix
@pytest.mark.parametrize("kind", ["a pipe", "a device", "a folder"])
def test_what_is_no_file_is_refused_and_stays(tmp_path, kind):
    path = tmp_path / "here"
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a device":
        as_root()
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    else:
        path.mkdir()
    before = path.lstat()
    csv = [nnx.CSVLog(path)]
    jsonl = [nnx.JSONLog(path)]
    for save in (lambda: network().save(path), lambda: fit(csv), lambda: fit(jsonl)):
        with pytest.raises(nnx.OutputError, match="cannot write"):
            save()
    after = path.lstat()
    assert (after.st_mode, after.st_ino) == (before.st_mode, before.st_ino)
    assert names(tmp_path) == ["here"]


def fit(callbacks):
    x = np.ones((4, 2))
    network().fit(
        x, x, loss=nnx.MeanSquaredError(), optimizer=nnx.SGD(0.1), batch_size=4, callbacks=callbacks
    )


def test_the_longest_name_a_file_system_takes(tmp_path):
    path = tmp_path / ("a" * 243 + ".safetensors")
    try:
        network().save(path)
    except nnx.OutputError as error:
        if error.__cause__ is not None and getattr(error.__cause__, "errno", 0) == errno.ENAMETOOLONG:
            with pytest.raises(OSError, match="too long"):
                path.write_bytes(b"")
            pytest.skip("this file system takes shorter names only")
        raise
    assert nnx.load(path).inputs == 2


def test_a_name_that_no_file_can_have_is_refused(tmp_path):
    with pytest.raises(nnx.OutputError, match="null"):
        write(f"{tmp_path}/a\0b")


# --------------------------------------------------------- what a kill left


def test_only_what_a_killed_process_left_is_cleared(tmp_path):
    """A file that another process is writing at this moment is not touched, nor is one of another name."""
    code = """
import os, signal, sys
from nnx.files import replacing
with replacing(sys.argv[1]) as file:
    file.write(b"half"); file.flush()
    print("here", flush=True)
    sys.stdin.readline()
"""
    for name in (".notes.tmp", ".nnx-notes.tmp", ".my.very.own.2024.tmp", "x.tmp"):
        (tmp_path / name).write_bytes(b"mine")
    (tmp_path / ".dir.tmp").mkdir()
    own = names(tmp_path)
    pipe, environment = subprocess.PIPE, os.environ | {"PYTHONPATH": SOURCE}
    commands = [[sys.executable, "-c", code, str(tmp_path / name)] for name in ("killed", "alive")]
    writers = [subprocess.Popen(words, stdin=pipe, stdout=pipe, env=environment) for words in commands]
    for writer in writers:
        writer.stdout.readline()
    assert len(names(tmp_path)) == len(own) + 2
    writers[0].send_signal(signal.SIGKILL)
    writers[0].communicate()
    clear(tmp_path)
    assert len(names(tmp_path)) == len(own) + 1
    writers[1].communicate(b"\n")
    assert writers[1].returncode == 0
    assert (tmp_path / "alive").read_bytes() == b"half"
    assert names(tmp_path) == sorted([*own, "alive"])


@posix
def test_links_of_those_names_are_not_followed_when_clearing(tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / ".nnx-0123456789abcdef.tmp").symlink_to(victim)
    os.mkfifo(tmp_path / ".nnx-0123456789abcdee.tmp")
    clear(tmp_path)
    assert victim.read_bytes() == b"precious"
    assert len(names(tmp_path)) == 3


# ------------------------------------------------------- probes, locks and logs


def test_a_probe_leaves_a_users_file_alone(tmp_path):
    (tmp_path / ".nnx-probe").write_text("precious")
    probe(tmp_path)
    assert (tmp_path / ".nnx-probe").read_text() == "precious"
    assert names(tmp_path) == [".nnx-probe"]


def test_a_users_own_lock_file_stays(tmp_path):
    (tmp_path / ".lock").write_text("mine")
    with locked(tmp_path), pytest.raises(nnx.OutputError, match="another run"), locked(tmp_path):
        pass
    assert (tmp_path / ".lock").read_text() == "mine"


@posix
@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "folder"])
def test_a_lock_that_is_no_file_is_refused(tmp_path, kind):
    victim, lock = tmp_path / "victim", tmp_path / "run" / ".lock"
    lock.parent.mkdir()
    if kind == "link":
        victim.write_bytes(b"")
    if "link" in kind:
        lock.symlink_to(victim)
    elif kind == "pipe":
        os.mkfifo(lock)
    else:
        lock.mkdir()
    with pytest.raises(nnx.OutputError, match=r"run/\.lock "), locked(lock.parent):
        pass
    assert victim.exists() == (kind == "link")
    assert names(lock.parent) == [".lock"]


@posix
def test_a_log_does_not_follow_a_link(tmp_path):
    victim, link = tmp_path / "victim", tmp_path / "history.jsonl"
    victim.write_text("precious")
    link.symlink_to(victim)
    with pytest.raises(nnx.OutputError, match="is a link"):
        fit([nnx.JSONLog(link)])
    assert victim.read_text() == "precious"
    with pytest.raises(nnx.OutputError, match="No such file"):
        opened_log(tmp_path / "none" / "log", empty=True)


# --------------------------------------------------- what a failed run removes


def test_only_what_was_made_is_undone(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "kept").write_bytes(b"old")
    with recorded() as made:
        write(tmp_path / "there" / "kept")  # was there before
        make_folder(tmp_path / "a" / "b" / "c")
        for _ in range(2):
            write(tmp_path / "a" / "b" / "file")
        write(tmp_path / "a" / "b" / "changed")
        make_folder(tmp_path / "d")
        opened_log(tmp_path / "d" / "log", empty=True).close()
        (tmp_path / "a" / "b" / "changed").unlink()
        (tmp_path / "a" / "b" / "changed").write_bytes(b"another's")
        (tmp_path / "a" / "notes").write_bytes(b"another's")
    write(tmp_path / "after")
    made.undo()
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert left == ["a", "a/b", "a/b/changed", "a/notes", "after", "there", "there/kept"]
    made.undo()  # nothing is left to do


def test_new_folders_are_for_one_each(tmp_path):
    found = []

    def take():
        found.extend(new_folder(tmp_path / "runs" / "xor") for _ in range(20))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 80
    assert {path.name for path in found} == {"xor", *(f"xor-{number}" for number in range(2, 81))}


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_folder_that_cannot_be_made_is_named(tmp_path, place):
    (tmp_path / "file").write_text("here")
    with pytest.raises(nnx.OutputError, match=place):
        make_folder(tmp_path / place)
    if place != "file":
        with pytest.raises(nnx.OutputError, match=place):
            new_folder(tmp_path / place / "x")
