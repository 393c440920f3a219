"""`python -m arke` is the `arke` command."""

from arke.cli import main

main()
