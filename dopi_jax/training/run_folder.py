"""A run's folder: one process trains in it at a time, files in it are whole, and what is damaged is set aside."""

import contextlib
import datetime
import json
import os
import pathlib
import re
import socket
import time
from collections.abc import Iterator

from dopi_jax.errors import UserError
from dopi_jax.training.notes import Notes

try:
    import fcntl
except ImportError:  # Windows has no such locks; runs are not guarded there
    fcntl = None

_LOCK = "lock"
_SET_ASIDE = "set_aside"
_held: set[pathlib.Path] = set()


@contextlib.contextmanager
def hold(workdir: pathlib.Path) -> Iterator[None]:
    """Makes this process the only one that trains in a folder; the lock ends with the process, however that ends.

    Args:
      workdir: The run's folder; made if it is not there, and removed again if nothing is written in it. To hold it once more
        inside does nothing.

    Raises:
      UserError: Another process trains in it, or the folder cannot be written.
    """
    with user_error_if_unwritable(workdir):
        is_new = not workdir.exists()
        workdir.mkdir(parents=True, exist_ok=True)
    folder = workdir.resolve()
    if folder in _held:
        yield
        return
    with contextlib.ExitStack() as stack:
        with user_error_if_unwritable(workdir):
            file = stack.enter_context((workdir / _LOCK).open("a+", encoding="utf-8"))
        if not _locked(file, workdir):
            raise _in_use(workdir, _holder(file))
        with contextlib.suppress(OSError):  # a full disk: the lock holds without a name
            file.truncate(0)
            now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
            file.write(json.dumps({"process": os.getpid(), "machine": socket.gethostname(), "since": now}) + "\n")
            file.flush()
        _held.add(folder)
        stack.callback(_held.discard, folder)
        stack.callback(_remove_if_unused, workdir, is_new)
        yield


def _remove_if_unused(workdir: pathlib.Path, is_new: bool) -> None:
    """Removes the lock of a folder in which a refused command has written nothing, and the folder if it is new."""
    with contextlib.suppress(OSError):
        if [path.name for path in workdir.iterdir()] == [_LOCK]:
            (workdir / _LOCK).unlink()
            if is_new:
                workdir.rmdir()


def user(workdir: pathlib.Path) -> str | None:
    """Returns in words which process trains in a folder; None if none does."""
    if fcntl is None or not (workdir / _LOCK).exists():
        return None
    with (workdir / _LOCK).open(encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _holder(file)
        except OSError:
            pass
    return None


def refuse_if_used(workdir: pathlib.Path) -> None:
    """Refuses a folder in which another process trains, before anything is prepared for it.

    Raises:
      UserError: One does.
    """
    used_by = None if workdir.resolve() in _held else user(workdir)
    if used_by:
        raise _in_use(workdir, used_by)


@contextlib.contextmanager
def user_error_if_unwritable(workdir: pathlib.Path) -> Iterator[None]:
    """Turns an error of the file system inside into a `UserError` about the run's folder."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{workdir} cannot be written ({reason(error)}): make it writable, make room, or name another folder"
        ) from error


def write_whole(path: pathlib.Path, text: str) -> None:
    """Writes a file, whole or not at all.

    Args:
      path: The file.
      text: Its content.

    Raises:
      OSError: It cannot be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.rename(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def set_aside(path: pathlib.Path, workdir: pathlib.Path) -> pathlib.Path:
    """Moves what is damaged out of the way, into the run's folder set_aside/; nothing is ever deleted there.

    Args:
      path: A file or folder in the run's folder.
      workdir: The run's folder.

    Returns:
      Where it is now.

    Raises:
      UserError: It cannot be moved.
    """
    name = "_".join(path.relative_to(workdir).parts)
    kept, number = workdir / _SET_ASIDE / name, 1
    with user_error_if_unwritable(workdir):
        kept.parent.mkdir(exist_ok=True)
        while kept.exists():
            number += 1
            kept = kept.with_name(f"{name}_{number}")
        path.rename(kept)
    return kept


def reason(error: BaseException) -> str:
    """Returns why a file could not be read or written, in a few words; Orbax has the number of the error in its text."""
    code = re.search(r"os_error_code='(\d+)'", str(error))
    if code:
        return os.strerror(int(code[1]))
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    kind = re.match(r"([A-Z]+(?:_[A-Z]+)+): ", str(error))  # DATA_LOSS and the like, before the names of many files
    if kind:
        return kind[1].replace("_", " ").lower()
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _locked(file, workdir: pathlib.Path) -> bool:
    """Whether the lock could be had; `status`, which looks whether there is one, holds it for a moment."""
    if fcntl is None:
        return True
    for _ in range(5):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.1)
        except OSError as error:
            Notes.print(f"{workdir} is on a file system without locks ({error.strerror}): start one process there at a time")
            return True
    return False


def _in_use(workdir: pathlib.Path, used_by: str) -> UserError:
    return UserError(f"{workdir} is in use by {used_by}: wait for it, stop it, or name another folder")


def _holder(file) -> str:
    file.seek(0)
    try:
        holder = json.loads(file.read())
        return f"process {holder['process']} on {holder['machine']}, since {holder['since']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
