"""One module a group of commands; each is thin: read settings, call the package that does it, print."""
