"""Fixtures that every test file may use."""

import os
import pathlib

import pytest


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder with real recordings and reference outputs; a user's checkout has none, so such tests are skipped."""
    folder = pathlib.Path(os.environ.get("DOPI_SHARED", pathlib.Path(__file__).parents[2] / "shared"))
    if not (folder / "golden").is_dir():
        pytest.skip(f"reference data not found at {folder}: set DOPI_SHARED to the folder that has golden/ and data/")
    return folder
