"""What a benchmark of latencies prints and keeps."""

import json
from pathlib import Path


def report(milliseconds: list[float], promised_ms: float, output: Path, **more: int) -> int:
    """Prints and writes the percentiles of sorted latencies; returns 1 where the 99th is above what is promised."""
    p99_ms = round(milliseconds[int(len(milliseconds) * 0.99)], 1)
    result = {
        "what": output.stem,
        "events": len(milliseconds),
        **more,
        "p50_ms": round(milliseconds[len(milliseconds) // 2], 1),
        "p99_ms": p99_ms,
        "max_ms": round(milliseconds[-1], 1),
    }
    print(json.dumps(result))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if p99_ms <= promised_ms else 1
