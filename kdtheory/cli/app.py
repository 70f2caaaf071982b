"""What the commands share: the application, where it prints, and how it ends."""

from __future__ import annotations

import sys
from pathlib import Path

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


def main() -> None:
    """Run the command line; bad input is one line on stderr and exit code 2."""
    try:
        app(standalone_mode=True)
    except ValueError as error:
        err_console.print(f"[bold red]error[/] {escape(' '.join(str(error).split()))}", soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        err_console.print(
            "interrupted; what is finished is kept: go on with the same command, --out and --resume"
        )
        sys.exit(2)
