"""`python -m hcp` is the command `hcp`."""

from hcp.cli import main

main()
