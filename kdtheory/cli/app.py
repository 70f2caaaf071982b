"""What the commands share: the application, where it prints, and how it ends."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

__all__ = ["RUNS", "app", "err_console", "main", "out_console"]

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
_INTERRUPTED = 130


def main() -> None:
    """Run the command line; bad input is one line on stderr and exit code 2."""
    try:
        code = app(standalone_mode=False) or 0
    except ValueError as error:
        _refuse(str(error))
    except _USAGE as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
            sys.exit(2)
        _refuse(f"{error.format_message()}; --help says what there is")
    if code == _INTERRUPTED:
        err_console.print(
            "interrupted; what is finished is kept: go on with the same command, --out and --resume"
        )
        sys.exit(2)
    sys.exit(code)


def _refuse(message: str) -> NoReturn:
    words = " ".join(message.split()).replace(".;", ";")
    err_console.print(f"[bold red]error[/] {escape(words)}", soft_wrap=True)
    sys.exit(2)
