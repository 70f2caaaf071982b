"""What the commands share: the application, where it prints, and how it ends."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

__all__ = ["INTERRUPTED", "RUNS", "Ended", "app", "err_console", "main", "out_console"]

RUNS = Path("runs")

app = typer.Typer(
    help="The theory of knowledge distillation as executable claims, judged with honest statistics.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out_console, err_console = Console(), Console(stderr=True)


_USAGE: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
"""What the parser of arguments raises; typer names its subclasses only."""
INTERRUPTED = 130
"""The exit code after Ctrl-C, as of a process that SIGINT has ended."""


class Ended(Exception):
    """A command that ended before its time: the line that is said of it, and its exit code."""

    def __init__(self, line: str, code: int) -> None:
        super().__init__(line)
        self.code = code


def main() -> None:
    """Run the command line; bad input, a killed worker and Ctrl-C are one line on stderr."""
    try:
        code = app(standalone_mode=False) or 0
        if code == INTERRUPTED:
            raise Ended("interrupted; every file that was there is as it was", INTERRUPTED)
    except Ended as error:
        _end(str(error), error.code)
    except (ValueError, ChildProcessError) as error:
        _refuse(str(error))
    except _USAGE as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
            sys.exit(2)
        _refuse(f"{error.format_message()}; --help says what there is")
    sys.exit(code)


def _refuse(message: str) -> NoReturn:
    _end("error " + " ".join(message.split()).replace(".;", ";"), 2)


def _end(line: str, code: int) -> NoReturn:
    first, _, rest = line.partition(" ")
    err_console.print(f"[bold red]{escape(first)}[/] {escape(rest)}", soft_wrap=True, highlight=False)
    sys.exit(code)
