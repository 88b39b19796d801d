"""Trained networks of a run: for evaluation, for phase 2, and as a start."""

import dataclasses
import pathlib
from typing import Any, Literal, NamedTuple

from dopi_jax.config import Config
from dopi_jax.errors import UserError
from dopi_jax.model_file import find_model_file, read_model, shipped_models
from dopi_jax.training.run_config import find_config, has_config, read_config
from dopi_jax.training.saved_networks import restore_networks, save_networks
from dopi_jax.training.state import KNOWN

_FROZEN = "depthpose"  # the folder in a run of phase 2 with what it took from phase 1
_STARTED_FROM = "started_from"  # the folder in a run of phase 1 with the networks whose depth it holds on to


def restore_variables(
    workdir: pathlib.Path, config: Config, which: Literal["best", "latest"] = "best"
) -> tuple[dict[str, Any], int]:
    """Returns the trained networks' variables for evaluation.

    Args:
      workdir: The run's folder.
      config: The run's config.
      which: "best" by validation, or "latest"; "best" falls back to the latest if nothing was validated.

    Returns:
      Variables for `apply` by network: {"depth": ..., "pose": ...}, in a run of phase 2 {"flow": ...} and those of phase 1
      that taught it, if any; and the step they were saved at.

    Raises:
      UserError: There is no checkpoint, or it belongs to other networks.
    """
    check_same_run(workdir, config)
    folders = [workdir / "best", workdir / "checkpoints"] if which == "best" else [workdir / "checkpoints"]
    found = restore_networks(folders, config)
    if found is None:
        raise UserError(
            f"no checkpoint in {workdir}: expected {workdir / 'checkpoints'}; train first, or name the run's folder "
            "with --workdir"
        )
    variables, step = found
    return variables | _taken_over(workdir, config), step


def read_run(folder: pathlib.Path, which: Literal["best", "latest"] = "best") -> tuple[Config, dict[str, Any], int]:
    """Returns a run's config, and its networks as `restore_variables` does.

    Args:
      folder: The run's folder.
      which: The checkpoint.

    Returns:
      The config, variables by network, and the step.

    Raises:
      UserError: The folder holds no run, or a run without a checkpoint.
    """
    if not has_config(folder):
        raise UserError(f"{folder} is no run's folder: expected one with config.json")
    config = read_config(folder)
    return config, *restore_variables(folder, config, which)


def frozen_variables(workdir: pathlib.Path, config: Config) -> dict[str, Any]:
    """Returns the networks that a run holds on to: of phase 1 those that teach phase 2, or the depth that it started from.

    They are copied into the run's folder when it starts, and read from there when it goes on or is evaluated: what happens
    to the run that they come from does not matter in the meantime.

    Args:
      workdir: The run's folder.
      config: Its config.

    Returns:
      {"depth": variables, "pose": variables} in phase 2, {`KNOWN`: variables of the depth network} in phase 1; {} if the
      config's objective needs none.

    Raises:
      UserError: `config.depthpose` or `config.init_from` names nothing, no run of phase 1, or one of other networks.
    """
    if config.phase == "depthpose" and config.loss.needs_known_depth:
        if not (workdir / _STARTED_FROM).is_dir():
            if not config.init_from:
                name = "distillation" if config.loss.distillation > 0 else "motion_stereo"
                raise UserError(
                    f"config.loss.{name} holds depth near that of the networks that config.init_from names, which is empty: "
                    f"name a run or model, or add --config.loss.{name}=0"
                )
            save_networks(workdir / _STARTED_FROM, *_read_initial(config))
        started_from, _ = restore_networks(workdir / _STARTED_FROM, config)
        return {KNOWN: started_from["depth"]}
    if config.phase != "flow" or not config.flow_loss.needs_depthpose:
        return {}
    if not (workdir / _FROZEN).is_dir():
        save_networks(workdir / _FROZEN, *_teachers(config))
    return _taken_over(workdir, config)


def initial_variables(workdir: pathlib.Path, config: Config) -> dict[str, Any] | None:
    """Returns the networks that a new run starts from, those that `config.init_from` names.

    Args:
      workdir: The folder of the run; if it has a checkpoint already, nothing is needed.
      config: Its config. Image size, losses and schedule may differ from those of the other run.

    Returns:
      Variables by network, and of the camera if both runs learn its focal length; None if the run starts from random ones
      or goes on.

    Raises:
      UserError: `config.init_from` names no run and no model, or one that has trained other networks.
    """
    if not config.init_from or any((workdir / "checkpoints").glob("[0-9]*")):
        return None
    return _read_initial(config)[0]


def _read_initial(config: Config) -> tuple[dict[str, Any], int]:
    found = _find("init_from", config.init_from, "a run")
    stored, trained = found.config, {"flow": ("flow",), "depthpose": ("depth", "pose")}[config.phase]
    if not found.has(config.phase, trained):
        raise UserError(
            f"config.init_from is {config.init_from!r}, which trained phase {stored.phase!r}, but the config trains phase "
            f"{config.phase!r}: name a run of the same phase; phase 2 takes phase 1 by config.depthpose"
        )
    for name in (*trained, "rotation"):
        of_found, wanted = getattr(stored.model, name), getattr(config.model, name)
        if of_found != wanted:
            raise UserError(
                f"config.init_from is {config.init_from!r}, whose model.{name} is {of_found!r}, but the config asks for "
                f"{wanted!r}: name another run, or add --config.model.{name}={of_found}"
            )
    variables, step = found.read()
    camera = {"camera"} if config.trains_camera else set()
    return {name: variables[name] for name in variables if name in {*trained, *camera}}, step


class _Found(NamedTuple):
    """A run, or a model file, that a field of a config names.

    Attributes:
      config: What it was trained with.
      folder: Of the run.
      networks: Of the model file: variables and step.
    """

    config: Config
    folder: pathlib.Path
    networks: tuple[dict[str, Any], int] | None

    def has(self, phase: str, networks: tuple[str, ...]) -> bool:
        """Whether the networks of a phase are in it; a model file may hold those of both."""
        return self.config.phase == phase if self.networks is None else set(networks) <= self.networks[0].keys()

    def read(self) -> tuple[dict[str, Any], int]:
        """Returns variables by network, and the step; of a run those of its best checkpoint."""
        return self.networks or restore_variables(self.folder, self.config)


def _find(field: str, value: str, expected: str) -> _Found:
    path = find_model_file(value)
    if path is not None:
        config, *networks = read_model(path)
        return _Found(config, path.parent, tuple(networks))
    folder = pathlib.Path(value).expanduser()
    if not has_config(folder):
        raise UserError(
            f"config.{field} is {value!r}: expected the folder of {expected}, with config.json, a model file NAME.npz, or "
            f"one of the shipped models ({', '.join(shipped_models())})"
        )
    return _Found(read_config(folder), folder, None)


def _taken_over(workdir: pathlib.Path, config: Config) -> dict[str, Any]:
    found = restore_networks(workdir / _FROZEN, dataclasses.replace(config, phase="depthpose"))
    return found[0] if found else {}


def _teachers(config: Config) -> tuple[dict[str, Any], int]:
    """Restores the best networks of the run that `config.depthpose` names, if they are those of the config."""
    if not config.depthpose:
        raise UserError(
            "config.depthpose is empty: phase 2 is taught by the depth and pose networks of a run of phase 1; name its "
            "folder with --config.depthpose=runs/NAME, or train the variant :basic, which needs none"
        )
    teacher = _find("depthpose", config.depthpose, "a run of phase 1")
    stored = teacher.config
    if not teacher.has("depthpose", ("depth", "pose")):
        raise UserError(f"config.depthpose is {config.depthpose!r}, a run of phase {stored.phase!r}: name one of phase 1")
    for name in ("model.depth", "model.pose", "model.rotation", "loss.normalize_all_disparities"):
        section, field = name.split(".")
        found, wanted = (getattr(getattr(c, section), field) for c in (stored, config))
        if found != wanted:
            raise UserError(
                f"the run {config.depthpose} has {name} = {found!r}, but the config asks for {wanted!r}: name another run, "
                f"or add --config.{name}={found}"
            )
    if stored.data.learns_focal_length != config.data.learns_focal_length:
        raise UserError(
            f"the run {config.depthpose} has data.intrinsics = {stored.data.intrinsics!r}, but the config asks for "
            f"{config.data.intrinsics!r}: a focal length is learnt in phase 1, or in neither; name another run, or add "
            f"--config.data.intrinsics={stored.data.intrinsics}"
        )
    variables, step = teacher.read()
    return {name: variables[name] for name in variables if name != "flow"}, step


def check_same_run(workdir: pathlib.Path, config: Config) -> None:
    """Refuses to go on with a run whose networks are not those of the config.

    Args:
      workdir: The run's folder; nothing is checked if it holds no run yet, or one whose config is lost.
      config: The config of the command.

    Raises:
      UserError: The folder holds a run of other networks or another camera; the sentence names the field.
    """
    stored = find_config(workdir) if has_config(workdir) else None
    if stored is None:
        return
    of_both = {"phase": (stored.phase, config.phase)}
    if config.phase == "flow" and config.depthpose:
        of_both["depthpose"] = stored.depthpose, config.depthpose
    of_both |= {f"model.{name}": (getattr(stored.model, name), value) for name, value in vars(config.model).items()}
    if stored.data.learns_focal_length != config.data.learns_focal_length:
        of_both["data.intrinsics"] = stored.data.intrinsics, config.data.intrinsics
    for name, (found, wanted) in of_both.items():
        if found != wanted:
            raise UserError(
                f"{workdir} holds a run with {name} = {found!r}, but the config asks for {wanted!r}: "
                "use the run's own config, or another --workdir"
            )
