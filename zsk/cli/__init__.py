"""The command line `zsk`: a table of commands. The `main` of a command reads sys.argv itself."""

from __future__ import annotations

import difflib
import importlib
import sys
from typing import NoReturn

from zsk import __version__
from zsk.errors import UserError, run_cli

# command -> module with its main() -> int | None, imported only then; a line of help
COMMANDS = {
    "segment": ("zsk.cli.segment", "segment photos with words of your own"),
    "video": ("zsk.cli.video", "segment a video with words of your own"),
    "web": ("zsk.cli.web", "segment photos in the browser, on this machine"),
    "train": ("zsk.cli.train", "train a model from a configuration"),
    "evaluate": ("zsk.cli.evaluate", "score a model on labelled photos"),
    "check": ("zsk.cli.check", "read a data set and name every problem with its files"),
    "convert": ("zsk.cli.convert", "make published weights of other projects loadable"),
    "export": ("zsk.cli.export", "write a model for other runtimes"),
    "env": ("zsk.check_env", "list the packages, weights and data sets that are there"),
}


def main() -> NoReturn:
    """Run the command that sys.argv names, and leave the process with its exit code."""
    run_cli(run)


def run() -> int | None:
    """As `main`, with the exit code as its result.

    Raises:
        UserError: there is no such command.
    """
    command, *rest = sys.argv[1:] or ["--help"]
    if command in ("-h", "--help", "help"):
        print(usage())
        return 0
    if command in ("-V", "--version"):
        print(f"zsk {__version__}")
        return 0
    if command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, n=1, cutoff=0.5)
        advice = f"did you mean 'zsk {near[0]}'?" if near else "'zsk --help' lists the commands"
        raise UserError(f"zsk has no command '{command}': {advice}")
    sys.argv = [f"zsk {command}", *rest]  # argparse calls the program so
    return importlib.import_module(COMMANDS[command][0]).main()


def usage() -> str:
    """The help of `zsk` itself."""
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:{width}}  {line}" for name, (_, line) in COMMANDS.items())
    return f"""usage: zsk COMMAND ...

Open-vocabulary semantic segmentation.

{commands}

example: zsk segment photo.jpg --words "cat, sofa, wall"
'zsk COMMAND --help' lists a command's options, 'zsk --version' prints the version."""
