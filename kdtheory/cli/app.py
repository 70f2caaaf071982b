"""The common part of all commands: the application, where it prints, and how it ends."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from kdtheory import __version__

__all__ = [
    "INTERRUPTED",
    "MISTYPED",
    "RUNS",
    "Ended",
    "app",
    "err_console",
    "main",
    "out_console",
    "printed_apart",
]

RUNS = Path("runs")
MISTYPED = 0.5
"""Seconds, within which what is not in order is refused: no bar is begun for it."""
_EXAMPLES = """Examples:

kdtheory list --chapter 4

kdtheory verify 'kd_*' --mutants

kdtheory verify my_claims.py

kdtheory certify --teacher-logits t.npy --labels y.npy --fixed-in-advance

kdtheory new claim my_claim"""

app = typer.Typer(
    help="The theory of knowledge distillation as executable claims, judged with honest statistics.",
    epilog=_EXAMPLES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # which cuts the names of options at 80 columns
)
out_console, err_console = Console(emoji=False), Console(stderr=True, emoji=False)


_USAGE: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
"""The errors of the parser of arguments; typer names its subclasses only."""
INTERRUPTED = 130
"""The exit code after Ctrl-C, as of a process that SIGINT has ended."""
UNREAD = 141
"""The exit code where nobody reads on (`kdtheory list | head -1`), as of a process that SIGPIPE has ended."""


class Ended(Exception):
    """A command that ended before its time: the line that is said of it, and its exit code."""

    def __init__(self, line: str, code: int) -> None:
        super().__init__(line)
        self.code = code


def _say_version(wanted: bool | None) -> None:
    if wanted:
        typer.echo(f"kdtheory {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool | None,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version and exit."),
    ] = None,
) -> None:
    """The theory of knowledge distillation as executable claims, judged with honest statistics."""


def main() -> None:
    """Run the command line; bad input, a full disk, a killed worker and Ctrl-C are one line on stderr."""
    with contextlib.suppress(AttributeError):  # replaced by others, or closed
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        code = app(standalone_mode=False) or 0
        if code == INTERRUPTED:
            raise Ended("interrupted; every file is whole, old or new", INTERRUPTED)
    except SystemExit as ended:
        if not isinstance(ended.__context__, BrokenPipeError):
            raise
        _say_no_more()
        sys.exit(UNREAD)
    except Ended as error:
        _end(str(error), error.code)
    except (ValueError, ChildProcessError) as error:
        _refuse(str(error))
    except OSError as error:
        _say_no_more()
        _refuse(f"{error.filename or 'the output'} cannot be read or written ({error.strerror or error})")
    except _USAGE as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            typer.echo(error.ctx.get_help())
            sys.exit(2)
        _refuse(f"{error.format_message()}; --help says what there is")
    sys.exit(code)


def _say_no_more() -> None:
    """Let go of what stdout still holds: what cannot be written now cannot be at the end either."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def printed_apart() -> contextlib.AbstractContextManager[Any]:
    """Within the block what the code of others prints goes to stderr, and stdout has the answer alone."""
    return contextlib.redirect_stdout(sys.stderr)


def _refuse(message: str) -> NoReturn:
    _end("error " + " ".join(message.split()).replace(".;", ";").replace("?;", "?"), 2)


def _end(line: str, code: int) -> NoReturn:
    first, _, rest = line.partition(" ")
    err_console.print(f"[bold red]{escape(first)}[/] {escape(rest)}", soft_wrap=True, highlight=False)
    sys.exit(code)
