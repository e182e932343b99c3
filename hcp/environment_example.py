"""Writes `env.example` from the settings object, so that each setting is declared once.

`python -m hcp.environment_example` writes the file, `--check` exits 1 where it is stale.
"""

import sys
from pathlib import Path

from pydantic import SecretStr

from hcp.settings import Settings

TARGET = Path("env.example")
_INTRO = """\
# Every setting of `hcp`, with its default. Copy to .env and change what you need.
# Order: the environment, then the files in HCP_SECRETS_DIR (one file a setting, named like it), then .env, then what
# `hcp up` wrote to $HCP_HOME/stack.env, then these defaults, which are those of docker-compose.yml.
# The passwords are for development on one machine only.
"""


def render() -> str:
    """Returns the text of `env.example`."""
    lines = [_INTRO]
    for name, field in Settings.model_fields.items():
        default = field.default
        if isinstance(default, SecretStr):
            default = default.get_secret_value()
        variable = f"HCP_{name.upper()}"
        # All commented out: a copy that is not edited must not outrank the ports that `hcp up` chose.
        lines.append(f"# {field.description}\n# {variable}={'' if default is None else default}\n")
    return "\n".join(lines)


def main() -> int:
    """Writes the file, or with `--check` compares it; returns the exit code."""
    if "--check" in sys.argv[1:]:
        if TARGET.read_text() != render():
            print(f"{TARGET} is stale: run `python -m hcp.environment_example`", file=sys.stderr)
            return 1
        return 0
    TARGET.write_text(render())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
