"""The command line: verbs over the same answers as the Python API.

Nothing heavy is imported until a verb runs, so that `--help` is quick.
"""

from __future__ import annotations

import gc
import os
import sys
from copy import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer
    from typer.models import CommandInfo

__all__ = ["main"]


def main() -> None:
    """Run the command line; refusals are one line on standard error and exit with 2."""
    try:
        _run()
    except KeyboardInterrupt:  # also while modules are still being read
        print("tokenmill: interrupted; nothing was left half-written", file=sys.stderr)
        sys.exit(130)


def _run() -> None:
    # a start makes much that stays and little rubbish: look for it less often than usual
    gc.set_threshold(300_000, 10, 10)
    import typer

    from tokenmill.errors import InputError, TokenmillError
    from tokenmill.interface.cli.app import app

    # what options and arguments raise: its place has moved from one typer to the next
    usage: type[Exception] = typer.BadParameter.__mro__[2]
    asked = _only(app, sys.argv[1] if len(sys.argv) > 1 else "")
    try:
        code = asked(prog_name="tokenmill", standalone_mode=False)
        sys.stdout.flush()
        sys.exit(code if isinstance(code, int) else 0)
    except TokenmillError as refusal:
        _refuse(str(refusal))
    except usage as problem:
        text = problem.format_message()  # type: ignore[attr-defined]
        if "\n" in text:  # a verb was called bare: its help
            print(text)
            sys.exit(0)
        place = getattr(getattr(problem, "ctx", None), "command_path", "tokenmill")
        _refuse(str(InputError(f"{text.rstrip('.')}; see: {place} --help")))
    except typer.Abort:
        raise KeyboardInterrupt from None
    except BrokenPipeError:
        # the reader of our output (head, a pager) has gone: that is no error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as problem:
        _refuse(str(InputError(f"{problem.filename or 'output'}: {problem.strerror}")))


def _only(app: typer.Typer, verb: str) -> typer.Typer:
    """The app with one verb: the options of all the others take longer to make than to run it."""
    found = [one for one in app.registered_commands if _name(one) == verb]
    if not found:
        return app
    small = copy(app)
    small.registered_commands, small.registered_groups = found, []
    return small


def _name(command: CommandInfo) -> str:
    return str(command.name or getattr(command.callback, "__name__", ""))


def _refuse(text: str) -> None:
    print(f"tokenmill: {text}", file=sys.stderr)
    sys.exit(2)
