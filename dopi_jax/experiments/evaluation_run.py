"""A trained run under evaluation: its config, networks, data, and folder for results."""

import csv
import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from dopi_jax import config as config_lib
from dopi_jax import evaluation
from dopi_jax.config import Config
from dopi_jax.data.selection import find_data_roots
from dopi_jax.errors import UserError, print_any_text
from dopi_jax.model_file import find_model_file, read_model, shipped_models
from dopi_jax.synthetic.layouts import LAYOUT_NAMES, MARKER
from dopi_jax.training.run_config import has_config, read_config
from dopi_jax.training.trained import restore_variables


@dataclasses.dataclass(frozen=True)
class EvaluationRun:
    """A trained run under evaluation.

    Attributes:
      config: The run's config, with the command's overrides.
      roots: The data roots; none for a task that needs no data.
      workdir: The run's folder.
      variables: The networks' variables, as `dopi_jax.predict` takes them; {} if nothing has been trained.
      step: The step they were saved at.
      saves_predictions: Whether tasks also write the prediction of every image.
    """

    config: Config
    roots: tuple[pathlib.Path, ...]
    workdir: pathlib.Path
    variables: Mapping[str, Any]
    step: int
    saves_predictions: bool = False

    @classmethod
    def open(
        cls, workdir: pathlib.Path, overrides: Mapping[str, Any], which: str, needs_data: bool = True
    ) -> "EvaluationRun":
        """Opens a run's folder.

        Args:
          workdir: The run's folder.
          overrides: Values of config fields by dotted name, which replace the stored ones.
          which: "best" or "latest" checkpoint.
          needs_data: Whether the task reads a data set.

        Returns:
          The run.

        Raises:
          UserError: There is no run, no checkpoint, no data, or an override changes the networks.
        """
        if not has_config(workdir):
            stored = workdir / "config.json"
            raise UserError(f"no run in {workdir}: expected {stored}; train first, or name the run's folder with --workdir")
        config = read_config(workdir)
        _override(config, overrides, str(workdir))
        roots = find_data_roots(config.data.root) if needs_data else ()
        variables, step = restore_variables(workdir, config, which)
        return cls(config, roots, workdir, variables, step)

    @classmethod
    def of_model(
        cls, model: str, workdir: pathlib.Path, overrides: Mapping[str, Any], needs_data: bool = True
    ) -> "EvaluationRun":
        """Opens a model in place of a run.

        Args:
          model: The name of a shipped model, or a model file.
          workdir: The folder for results; made if it is not there.
          overrides: As for `open`.
          needs_data: As for `open`.

        Returns:
          The run.

        Raises:
          UserError: There is no such model, no data, or an override changes the networks.
        """
        path = find_model_file(model)
        if path is None:
            shipped = ", ".join(shipped_models())
            raise UserError(f"--model is {model!r}: expected a file .npz or a shipped model ({shipped}); a run is --workdir")
        config, variables, step = read_model(path)
        _override(config, overrides, model)
        roots = find_data_roots(config.data.root) if needs_data else ()
        workdir.mkdir(parents=True, exist_ok=True)
        return cls(config, roots, workdir, variables, step)

    @property
    def data_name(self) -> str:
        """Name of the data for tables: KITTI, or drawn streets in its layouts."""
        drawn = any((root / layout / MARKER).is_file() for root in self.roots for layout in LAYOUT_NAMES)
        return evaluation.DRAWN_STREETS if drawn else evaluation.KITTI

    def require(self, network: str) -> None:
        """Refuses a run that lacks a network.

        Args:
          network: "depth", "pose" or "flow".

        Raises:
          UserError: The run has none of this name.
        """
        if network not in self.variables:
            raise UserError(
                f"{self.workdir} has no {network} network, only {', '.join(self.variables)}: name another run with --workdir"
            )

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the networks' input."""
        return self.config.data.height, self.config.data.width

    def write_results(self, task: str, table: str, summary: Mapping, rows: Sequence[Mapping[str, Any]]) -> None:
        """Prints the table, and writes evaluation/TASK.txt, TASK.json and TASK.csv in the run's folder.

        Args:
          task: Name of the files.
          table: Text for people.
          summary: What TASK.json holds besides the step.
          rows: Lines of TASK.csv, one an image or snippet, all with the same keys.
        """
        folder = self.results_folder()
        _replace(folder / f"{task}.txt", table + "\n")
        _replace(folder / f"{task}.json", json.dumps({"step": self.step, **summary}, indent=2) + "\n")
        partial = folder / f"{task}.csv.partial"
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        partial.rename(folder / f"{task}.csv")
        print_any_text()
        print(table)
        print(f"Step {self.step} of {self.workdir}; details in {folder}/{task}.*")

    def results_folder(self) -> pathlib.Path:
        """Returns the folder evaluation/ of the run, made if it is not there."""
        folder = self.workdir / "evaluation"
        folder.mkdir(exist_ok=True)
        return folder


def _override(config: Config, overrides: Mapping[str, Any], trained: str) -> None:
    """Sets values of config fields by dotted name; the networks of what is trained stay."""
    for name, value in overrides.items():
        *sections, field = name.split(".")
        section = config
        for part in sections:
            section = getattr(section, part)
        if sections == ["model"] and getattr(section, field) != value:
            raise UserError(
                f"config.{name} = {value!r} is not what {trained} was trained with ({getattr(section, field)!r}): "
                "leave it out, or name another run"
            )
        setattr(section, field, value)
    config_lib.check(config)


def _replace(path: pathlib.Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.rename(path)
