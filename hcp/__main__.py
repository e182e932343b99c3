"""`python -m hcp` is the command `hcp`."""

from hcp.cli import main

# The agents' solving processes import this module too.
if __name__ == "__main__":
    main()
