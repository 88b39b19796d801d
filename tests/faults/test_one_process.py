"""One process trains in a folder at a time."""

import json
import os
import socket

import pytest

from dopi_jax.errors import UserError
from dopi_jax.training import run_folder


def test_the_second_process_says_who_is_there_and_leaves(start, tmp_path):
    workdir = tmp_path / "run"
    with run_folder.hold(workdir):
        before = sorted(path.name for path in workdir.iterdir())
        assert start(workdir) == 1
        assert sorted(path.name for path in workdir.iterdir()) == before
    said = workdir.with_name("run.log").read_text()
    assert said.startswith(f"error: {workdir} is in use by process {os.getpid()} on {socket.gethostname()}, since 20")
    assert said.endswith(": wait for it, stop it, or name another folder\n")
    assert said.count("\n") == 1
    assert start(workdir) == 0


def test_who_holds_it_may_hold_it_again(tmp_path):
    with run_folder.hold(tmp_path):
        with run_folder.hold(tmp_path / ".." / tmp_path.name):
            pass
        assert tmp_path.resolve() in run_folder._held
        run_folder.refuse_if_used(tmp_path)
    assert not run_folder._held
    assert run_folder.user(tmp_path) is None


def test_a_lock_without_a_name(start, tmp_path):
    """The disk was full when it was to be written."""
    with run_folder.hold(tmp_path):
        (tmp_path / "lock").write_text("")
        run_folder._held.clear()
        with pytest.raises(UserError, match=r"is in use by another process: wait for it"):
            run_folder.refuse_if_used(tmp_path)


def test_the_name_is_that_of_the_last(start, tmp_path):
    start(tmp_path / "run", kill_at=100)
    with run_folder.hold(tmp_path / "run"):
        assert json.loads((tmp_path / "run/lock").read_text())["process"] == os.getpid()


def test_a_file_system_without_locks(tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(run_folder.fcntl, "flock", refuse)
    with run_folder.hold(tmp_path):
        pass
    assert "is on a file system without locks (Operation not supported): start one process" in capsys.readouterr().err
