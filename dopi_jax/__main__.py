"""`dopi-jax COMMAND`, or `python -m dopi_jax COMMAND`: every command of the package."""

import importlib
import sys

from dopi_jax import __version__

COMMANDS = {
    "demo": ("dopi_jax.commands.demo", "trains on drawn streets and writes a report with pictures"),
    "predict": ("dopi_jax.commands.predict", "depth and motion of your image, folder or video, as files and a page"),
    "video": ("dopi_jax.commands.video", "trains the model on your video for some minutes, then predicts"),
    "train": ("dopi_jax.commands.train", "trains the networks of a config"),
    "evaluate": ("dopi_jax.commands.evaluate", "measures a trained run by the paper's protocols"),
    "status": ("dopi_jax.commands.status", "says how far a run is, when it will be done, and what it told"),
    "figures": ("dopi_jax.commands.figures", "draws the paper's figures from your own runs"),
    "prepare": ("dopi_jax.commands.prepare", "packs frames into one set that trains anywhere"),
    "export": ("dopi_jax.commands.export", "writes a run's networks as one small file"),
    "import-torch": ("dopi_jax.commands.import_torch", "takes PyTorch checkpoints of this method over"),
    "streets": ("dopi_jax.synthetic.__main__", "draws streets with true depth, motion and flow"),
    "ablation": ("dopi_jax.commands.ablation", "trains the rows of the paper's Tables II and V on drawn streets"),
}
"""By name, the module whose `main` takes the arguments, and what it does."""

_WITH_CONFIG = ("train", "evaluate")  # their flags are those of a config


def main(arguments: list[str] | None = None) -> None:
    """Runs a command by name, or lists them all.

    Args:
      arguments: Of the command line; those of this process if None.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    listing = "\n".join(f"  {name:12} {purpose}" for name, (_, purpose) in COMMANDS.items())
    usage = f"usage: dopi-jax COMMAND ...\n\n{listing}\n\nCOMMAND --help lists a command's options."
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage)
    elif arguments[0] == "--version":
        print(f"dopi_jax {__version__}")
    elif arguments[0] not in COMMANDS:
        print(f"error: there is no command {arguments[0]!r}: expected one of {', '.join(COMMANDS)}", file=sys.stderr)
        sys.exit(1)
    else:
        command = importlib.import_module(COMMANDS[arguments[0]][0])
        if arguments[0] in _WITH_CONFIG:
            from dopi_jax.command_line import flags

            flags.run(command.main, arguments[1:])
        else:
            command.main(arguments[1:])


if __name__ == "__main__":
    main()
