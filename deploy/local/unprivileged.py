"""Running a program as somebody else than root, for servers that refuse root.

The program still has to reach its files where a folder above belongs to root alone (a clone in a private folder), so
it keeps the one capability that opens them, where `setpriv` can give it.
"""

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from deploy.local.error import PrerequisiteMissingError

USERS = ("nobody", "postgres", "daemon")


def prefix(folder: Path) -> list[str]:
    """Returns the words to put before a command that must not be root's; none unless we are root.

    `folder` becomes that user's, and is checked to be in its reach. Raises PrerequisiteMissingError.
    """
    if os.geteuid() != 0:
        return []
    user = next((user for name in USERS if (user := _user(name))), None)
    if user is None:
        raise PrerequisiteMissingError(
            f"PostgreSQL does not run as root and none of the users {', '.join(USERS)} exists: "
            "run `hcp up` as an ordinary user"
        )
    _give(folder, user)
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise PrerequisiteMissingError(
            "PostgreSQL does not run as root and `setpriv` (package util-linux) is not installed: "
            "install it, or run `hcp up` as an ordinary user"
        )
    command = [setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    for capabilities in (["--inh-caps=+dac_override", "--ambient-caps=+dac_override"], []):
        attempt = [*command, *capabilities]
        # A real operation: `test -w` asks access(2), which leaves capabilities out of account.
        if subprocess.run([*attempt, "ls", folder], capture_output=True, check=False).returncode == 0:
            return attempt
    raise PrerequisiteMissingError(
        f"PostgreSQL does not run as root and user {user.pw_name} cannot reach {folder}: "
        "choose a home that others may enter (HCP_HOME), or run `hcp up` as an ordinary user"
    )


def _user(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _give(folder: Path, user: pwd.struct_passwd) -> None:
    for path in (folder, *folder.rglob("*")) if folder.stat().st_uid != user.pw_uid else ():
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
