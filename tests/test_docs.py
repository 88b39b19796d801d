"""What the docs and README show: code runs and prints what stands below it, commands and their options exist."""

import contextlib
import functools
import importlib
import io
import pathlib
import re

import pytest

from dopi_jax.__main__ import COMMANDS
from dopi_jax.config import field_types

ROOT = pathlib.Path(__file__).parents[1]
PAGES = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in (ROOT / "docs").rglob("*.md")}
PAGES["README.md"] = (ROOT / "README.md").read_text(encoding="utf-8")
RUN_ELSEWHERE = {"README.md"}  # by test_readme.py, with names that the blocks leave to the reader
WITH_CODE = sorted(page for page, text in PAGES.items() if "```python" in text and page not in RUN_ELSEWHERE)

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.mark.parametrize("page", WITH_CODE)
def test_code_runs_and_prints_what_stands_below_it(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for code, printed in re.findall(r"```python\n(.*?)```(?:\n+```text\n(.*?)```)?", PAGES[page], re.DOTALL):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(code, names)
        if printed:
            assert out.getvalue() == printed


@pytest.mark.parametrize("page", sorted(PAGES))
def test_configs_fields_and_commands_exist(page):
    text = PAGES[page]
    for config in re.findall(r"configs/\w+\.py", text):
        assert (ROOT / config).is_file(), config
    fields = field_types()
    for field in re.findall(r"--config\.([a-z_.0-9]*[a-z_0-9])=", text):
        assert field in fields or field == "section.field", field
    for command in re.findall(r"^(?: {4}.*|.*\$ *)?(?:dopi-jax|python -m dopi_jax) ([a-z][a-z-]*)", text, re.MULTILINE):
        assert command in COMMANDS, command


@functools.cache
def help_of(command):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        importlib.import_module(COMMANDS[command][0]).main(["--help"])
    return out.getvalue()


@pytest.mark.parametrize("page", sorted(PAGES))
def test_options_of_commands_exist(page):
    text = PAGES[page].replace("\\\n", " ")
    for command, rest in re.findall(r"^ {4}(?:dopi-jax|python -m dopi_jax) ([a-z-]+)(.*)", text, re.MULTILINE):
        if command not in ("train", "evaluate"):  # their flags are fields of a config
            for option in re.findall(r" (--[a-z-]+)", rest):
                assert re.search(rf"{option}\b", help_of(command)), (command, option)


@pytest.mark.parametrize("page", sorted(PAGES))
def test_files_that_links_lead_to_exist(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[\w-]*)?\)", PAGES[page]):
        assert ((ROOT / page).parent / target).exists(), target
