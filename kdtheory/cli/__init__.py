"""The command line, and the only package that prints. Commands are listed in the order of these imports."""

from __future__ import annotations

from kdtheory.cli import look as look  # isort: skip
from kdtheory.cli import ledger as ledger  # isort: skip
from kdtheory.cli import certify as certify  # isort: skip
from kdtheory.cli import compare as compare  # isort: skip
from kdtheory.cli import figures as figures  # isort: skip
from kdtheory.cli import new as new  # isort: skip
from kdtheory.cli.app import app, main

__all__ = ["app", "main"]
