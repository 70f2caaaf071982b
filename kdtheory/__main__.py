"""`python -m kdtheory`: the command line."""

from kdtheory.cli import main

main()
