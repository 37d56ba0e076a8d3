"""`python -m softgate`: the command line."""

from softgate.cli import main

main()
