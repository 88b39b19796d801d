"""`python -m dopi_jax COMMAND`: the commands besides train.py and evaluate.py."""

import importlib
import sys

COMMANDS = {
    "demo": ("dopi_jax.commands.demo", "trains on drawn streets and writes a report with pictures"),
    "predict": ("dopi_jax.commands.predict", "depth and motion of your image, folder or video, as files and a page"),
    "prepare": ("dopi_jax.commands.prepare", "packs frames into one set that trains anywhere"),
    "export": ("dopi_jax.commands.export", "writes a run's networks as one small file"),
    "streets": ("dopi_jax.synthetic.__main__", "draws streets with true depth, motion and flow"),
    "ablation": ("dopi_jax.commands.ablation", "trains the rows of the paper's Tables II and V on drawn streets"),
}
"""By name, the module whose `main` takes the arguments, and what it does."""


def main(arguments: list[str] | None = None) -> None:
    """Runs a command by name, or lists them all.

    Args:
      arguments: Of the command line; those of this process if None.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    listing = "\n".join(f"  {name:10} {purpose}" for name, (_, purpose) in COMMANDS.items())
    usage = f"usage: python -m dopi_jax COMMAND ...\n\n{listing}\n\nCOMMAND --help lists a command's options."
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage)
    elif arguments[0] not in COMMANDS:
        print(f"error: there is no command {arguments[0]!r}: expected one of {', '.join(COMMANDS)}", file=sys.stderr)
        sys.exit(1)
    else:
        importlib.import_module(COMMANDS[arguments[0]][0]).main(arguments[1:])


if __name__ == "__main__":
    main()
