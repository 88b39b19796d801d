"""How commands tell what a user can mend, and that telling never fails."""

import io
import os
import subprocess
import sys

import pytest

from dopi_jax.errors import UserError, print_any_text, told_in_one_sentence


@pytest.mark.parametrize(
    "error, sentence",
    [
        (UserError("it is so"), "error: it is so\n"),
        (
            OSError(30, "Read-only file system", "/runs/x"),
            "error: '/runs/x' cannot be used (Read-only file system): check the path, its permissions and the disk\n",
        ),
        (MemoryError(), "error: not enough memory: choose smaller images or fewer of them\n"),
    ],
)
def test_what_a_user_can_mend_is_one_sentence(capsys, error, sentence):
    with pytest.raises(SystemExit) as ended, told_in_one_sentence():
        raise error
    assert ended.value.code == 1
    assert capsys.readouterr().err == sentence


@pytest.mark.parametrize("error", [ValueError("a mistake of ours"), OSError("of no file")])
def test_anything_else_stays_what_it_is(error):
    with pytest.raises(type(error), match=str(error)), told_in_one_sentence():
        raise error


def test_a_terminal_that_lacks_a_character_gets_it_escaped(monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    print_any_text()
    print("0.1 ± 0.2 \udcff")
    terminal.flush()
    assert terminal.buffer.getvalue() == b"0.1 \\xb1 0.2 \\udcff\n"


def test_a_reader_that_goes_away_ends_a_command_without_a_word():
    code = "from dopi_jax.errors import told_in_one_sentence\nwith told_in_one_sentence():\n    print('x' * 10**6)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 1


WRITE_RESULTS = r"""
import pathlib, sys
from dopi_jax.commands.evaluation_run import EvaluationRun
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
