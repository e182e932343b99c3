"""Writes `schemas/events.py`, the typed classes of the `.avsc` files.

`python -m schemas.generate` writes the file, `--check` exits 1 where it is stale. dataclasses-avroschema renders each
schema; the rendering is then made what the rest of the code wants: frozen, slotted, keyword-only dataclasses without a
base class, one definition of a type that several schemas name (which must be alike in all of them).
"""

import ast
import json
import subprocess
import sys
from pathlib import Path

AVRO_DIR = Path(__file__).with_name("avro")
TARGET = Path(__file__).with_name("events.py")
_HEADER = '''"""Typed events, generated from schemas/avro by `python -m schemas.generate`. Do not edit."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

import msgspec

Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
"""Avro's int, which is written like its long: what reads an event sees to the bounds."""


'''
_SCALARS = {
    "types.Int32": "Int32",
    "datetime.datetime": "datetime",
}


class ConflictingTypeError(Exception):
    """Two schemas define the same named type differently."""


def render() -> str:
    """Returns the source of `schemas/events.py`, formatted.

    Raises ConflictingTypeError when two `.avsc` files give one name two meanings.
    """
    # A development dependency: the rest of the package must import without it.
    from dataclasses_avroschema import ModelGenerator, ModelType  # noqa: PLC0415

    classes: dict[str, str] = {}
    for path in sorted(AVRO_DIR.glob("*.avsc")):
        # A generator remembers the types it has rendered, so each file gets its own.
        source = ModelGenerator().render(schema=json.loads(path.read_text()), model_type=ModelType.DATACLASS.value)
        for node in ast.parse(source).body:
            if isinstance(node, ast.ClassDef):
                rendered = ast.unparse(_rewrite(node))
                if classes.setdefault(node.name, rendered) != rendered:
                    raise ConflictingTypeError(f"{path.name}: {node.name} is defined differently elsewhere")
    source = _HEADER + "\n\n\n".join(classes.values()) + "\n"
    formatted = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--stdin-filename", "generated.py", "-"],
        input=source,
        capture_output=True,
        text=True,
        check=True,
    )
    return formatted.stdout


def main() -> int:
    """Writes the file, or with `--check` compares it; returns the exit code."""
    rendered = render()
    if "--check" in sys.argv[1:]:
        if not TARGET.exists() or TARGET.read_text() != rendered:
            print(f"{TARGET.name} is stale: run `python -m schemas.generate`", file=sys.stderr)
            return 1
        return 0
    TARGET.write_text(rendered)
    return 0


def _rewrite(node: ast.ClassDef) -> ast.ClassDef:
    is_enum = any(ast.unparse(base) == "enum.Enum" for base in node.bases)
    node.bases = [ast.Name("StrEnum")] if is_enum else []
    node.decorator_list = (
        [] if is_enum else [ast.parse("dataclass(frozen=True, slots=True, kw_only=True)", mode="eval").body]
    )
    body: list[ast.stmt] = []
    for statement in node.body:
        if isinstance(statement, ast.ClassDef):
            continue
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            statement.value.value = str(statement.value.value).strip()
        body.append(_field(statement) if isinstance(statement, ast.AnnAssign) else statement)
    node.body = body
    return node


def _field(statement: ast.AnnAssign) -> ast.AnnAssign:
    annotation = ast.unparse(statement.annotation)
    for found, wanted in _SCALARS.items():
        annotation = annotation.replace(found, wanted)
    if annotation.startswith("types.condecimal"):
        annotation = "Decimal"
    annotation = annotation.replace("typing.List", "list").replace("typing.Dict", "dict")
    if annotation.startswith("typing.Optional["):
        annotation = annotation.removeprefix("typing.Optional[").removesuffix("]") + " | None"
    if "typing." in annotation or "types." in annotation:
        raise NotImplementedError(f"no plain Python type for {annotation}")
    statement.annotation = ast.parse(annotation, mode="eval").body
    if statement.value is not None:
        call = ast.unparse(statement.value).replace("dataclasses.field(", "field(", 1)
        statement.value = ast.parse(call, mode="eval").body
    return statement


if __name__ == "__main__":
    raise SystemExit(main())
