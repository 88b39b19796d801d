"""How commands tell what a user can mend, and that telling never fails."""

import io
import os
import subprocess
import sys

import pytest

from dopi_jax.errors import UserError, print_any_text, report_user_errors


@pytest.mark.parametrize(
    "error, sentence",
    [
        (UserError("it is so"), "error: it is so\n"),
        (
            OSError(30, "Read-only file system", "/runs/x"),
            "error: '/runs/x' cannot be used (Read-only file system): check the path, its permissions and the disk\n",
        ),
        (MemoryError(), "error: not enough memory: choose smaller images"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory"), "error: not enough memory on the device: choose smaller images"),
    ],
)
def test_what_a_user_can_mend_is_one_sentence(capsys, error, sentence):
    with pytest.raises(SystemExit) as ended, report_user_errors():
        raise error
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith(sentence) and said.count("\n") == 1


@pytest.mark.parametrize("error", [ValueError("a mistake of ours"), OSError("of no file"), RuntimeError("INTERNAL")])
def test_anything_else_stays_what_it_is(error):
    with pytest.raises(type(error), match=str(error)), report_user_errors():
        raise error


def test_a_terminal_that_lacks_a_character_gets_it_escaped(monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    print_any_text()
    print("0.1 ± 0.2 \udcff")
    terminal.flush()
    assert terminal.buffer.getvalue() == b"0.1 \\xb1 0.2 \\udcff\n"


PRINT = """
import sys
from dopi_jax.errors import report_user_errors
with report_user_errors():
    print("x" * int(sys.argv[1]))
"""


@pytest.fixture(params=[1, 10**6], ids=["one letter", "a million"])
def printing(request):
    """A command that prints; a little is written at its end only."""
    return [sys.executable, "-c", PRINT, str(request.param)]


def test_a_reader_that_goes_away_ends_a_command_without_a_word(printing):
    read, written = os.pipe()
    os.close(read)
    run = subprocess.run(printing, stdout=written, stderr=subprocess.PIPE)
    os.close(written)
    assert (run.returncode, run.stderr) == (1, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a disk that is always full is a device of Linux")
def test_output_to_a_full_disk_is_told(printing):
    with open("/dev/full", "w") as full:
        run = subprocess.run(printing, stdout=full, stderr=subprocess.PIPE, text=True)
    assert run.returncode == 1
    assert run.stderr.startswith("error: a file, or what is printed, cannot be written (No space left on device)")
    assert run.stderr.count("\n") == 1


def test_a_command_without_output_is_no_mistake(printing):
    run = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *printing], stderr=subprocess.PIPE)
    assert (run.returncode, run.stderr) == (0, b"")


WRITE_RESULTS = r"""
import pathlib, sys
from dopi_jax.experiments.evaluation_run import EvaluationRun
from dopi_jax.config import Config
run = EvaluationRun(Config(), (), pathlib.Path(sys.argv[1]), {}, 7)
run.write_results("pose", "0.1 \xb1 0.2", {}, [{"drive": "Stra\xdfe", "ate": 1.0}])
"""


def test_results_are_utf_8_and_printed_whatever_the_locale(tmp_path):
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
    run = subprocess.run(
        [sys.executable, "-c", WRITE_RESULTS, tmp_path], capture_output=True, text=True, env=os.environ | locale
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("0.1 \\xb1 0.2\nStep 7 of ")
    assert (tmp_path / "evaluation/pose.txt").read_text(encoding="utf-8") == "0.1 ± 0.2\n"
    assert (tmp_path / "evaluation/pose.csv").read_text(encoding="utf-8") == "drive,ate\nStraße,1.0\n"
