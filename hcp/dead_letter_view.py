"""Dead letters as people and programs read them: a table, counts by cause, lines of JSON, one letter whole."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from rich.table import Table
from rich.text import Text

from hcp.dead_letter_filter import at
from hcp.dead_letter_log import Entry
from schemas.dead_letter import DeadLetter

_BYTES_A_LINE = 16
_BYTES_SHOWN = 1_024
_PRINTABLE = range(0x20, 0x7F)


def table(entries: Sequence[Entry]) -> Table:
    """Returns the letters as a table, one a row."""
    found = Table("topic", "place", "worker", "stage", "error", "tries", "refused at", "state", "reason")
    for entry in entries:
        letter = entry.letter
        cells = [
            letter.topic,
            f"{letter.partition}:{letter.offset}",
            letter.worker,
            letter.stage,
            letter.error,
            str(letter.retries),
            at(entry.refused_at_ms).isoformat(timespec="seconds"),
            entry.state,
            letter.reason,
        ]
        # As text: a reason may quote what looks like markup.
        found.add_row(*map(Text, cells))
    return found


def counts(entries: Iterable[Entry]) -> list[str]:
    """Returns a line for each topic, worker, stage and error: how many letters in which state, the most first."""
    found = Counter(
        (entry.state, entry.letter.topic, entry.letter.worker, entry.letter.stage, entry.letter.error)
        for entry in entries
    )
    return [
        f"{count} {state}: {topic} {worker} {stage} {error}"
        for (state, topic, worker, stage, error), count in sorted(found.items(), key=lambda item: (-item[1], item[0]))
    ]


def json_line(entry: Entry, event: str | None = None, *, whole: bool = False) -> str:
    """Returns the letter as one line of JSON; `whole` adds the headers, the event where it is one, and the bytes."""
    letter = entry.letter
    found = {
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "worker": letter.worker,
        "stage": letter.stage,
        "error": letter.error,
        "reason": letter.reason,
        "tries": letter.retries,
        "state": entry.state,
        "refused_at": at(entry.refused_at_ms).isoformat(),
        "message_at": None if letter.timestamp_ms is None else at(letter.timestamp_ms).isoformat(),
        "copies": entry.copies,
        "key": _text(letter.key),
    }
    if whole:
        found |= {
            "headers": [[name, _text(value)] for name, value in letter.headers],
            "event": None if event is None else json.loads(event),
            "value_hex": None if letter.value is None else letter.value.hex(),
        }
    return json.dumps(found, ensure_ascii=False)


def whole(entry: Entry, event: str | None) -> str:
    """Returns all of one letter as text: its state, its headers, the event where the bytes are one, and the bytes."""
    letter = entry.letter
    lines = [
        f"{letter.id}: {entry.state}",
        f"refused   at {at(entry.refused_at_ms).isoformat()}, copies {entry.copies}, replays in vain {letter.retries}",
        f"because   {letter.stage} {letter.error}: {letter.reason}",
        f"message   of {_message_time(letter)}, key {_text(letter.key)!r}",
        "headers",
        *(f"  {name}: {_text(value)}" for name, value in letter.headers),
        "event",
        f"  {event}" if event is not None else "  none: the bytes are not an event of this topic",
        f"value     {'none' if letter.value is None else f'{len(letter.value)} bytes'}",
        *(f"  {line}" for line in hexdump((letter.value or b"")[:_BYTES_SHOWN])),
    ]
    if letter.value and len(letter.value) > _BYTES_SHOWN:
        lines.append(f"  and {len(letter.value) - _BYTES_SHOWN} bytes more: --json has them all")
    return "\n".join(lines)


def hexdump(value: bytes) -> Iterator[str]:
    """Yields lines of 16 bytes: their offset, their hex digits, and those that are printable ASCII."""
    for start in range(0, len(value), _BYTES_A_LINE):
        part = value[start : start + _BYTES_A_LINE]
        digits = part.hex(" ").ljust(3 * _BYTES_A_LINE - 1)
        yield f"{start:08x}  {digits}  {''.join(chr(byte) if byte in _PRINTABLE else '.' for byte in part)}"


def _message_time(letter: DeadLetter) -> str:
    return "unknown time" if letter.timestamp_ms is None else at(letter.timestamp_ms).isoformat()


def _text(value: str | bytes | None) -> str | None:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value
