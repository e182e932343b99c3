"""Measures a GPU under the loads of `schedule`: a line of CSV a sample, of which `table` makes tables.

Needs an NVIDIA GPU with nothing else on it, PyTorch and nvidia-ml-py. Settings of the GPU are left as they are.
"""

import argparse
import csv
import multiprocessing
import sys
import time
from collections.abc import MutableSequence, Sequence
from datetime import datetime, timezone
from importlib import import_module
from importlib.util import find_spec
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from simulators.gpu.measurement import load
from simulators.gpu.measurement.nvml import NvmlBoard
from simulators.gpu.measurement.schedule import SCHEDULE, SETUP, TRAINING_PHASES, Load, Phase, scaled

_NEEDED = {"torch": "pip install torch", "pynvml": "pip install nvidia-ml-py"}
_WHOLE_S = sum(phase.seconds for phase in SCHEDULE)


def main() -> int:
    """Measures and writes; returns 1 where it can't, having said what is missing."""
    needs = "Needed besides Python: " + ", ".join(f"{name} ({how})" for name, how in _NEEDED.items())
    parser = argparse.ArgumentParser(prog="python -m simulators.gpu.measurement", description=__doc__, epilog=needs)
    parser.add_argument("--output", type=Path, required=True, help="CSV file of the samples")
    parser.add_argument("--seconds", type=float, default=_WHOLE_S, help="time of all loads (default %(default)s)")
    parser.add_argument("--interval", type=float, default=0.1, help="seconds between samples (default %(default)s)")
    parser.add_argument("--device", type=int, default=0, help="index of the GPU (default %(default)s)")
    args = parser.parse_args()
    missing = [f"{name} is missing: {how}" for name, how in _NEEDED.items() if find_spec(name) is None]
    if missing:
        return _fail("; ".join(missing))
    pynvml = import_module("pynvml")
    try:
        board = NvmlBoard(pynvml, args.device)
        return _measure(board, scaled(args.seconds), args)
    except pynvml.NVMLError as error:
        return _fail(f"NVML does not answer for GPU {args.device}: {error}")


def _measure(board: NvmlBoard, phases: Sequence[Phase], args: argparse.Namespace) -> int:
    first = next(i for i, phase in enumerate(phases) if phase.load is not Load.NO_CONTEXT)
    last = next(i for i, phase in enumerate(phases[first:], first) if phase.load is Load.NO_CONTEXT)
    names = [*dict.fromkeys([SETUP, *(phase.name for phase in phases), *TRAINING_PHASES])]
    spawn = multiprocessing.get_context("spawn")
    shared: Any = spawn.Array("d", 3, lock=False)
    loading = spawn.Process(target=load.run, args=(phases[first:last], names, args.device, shared), daemon=True)
    described = {"at": f"{datetime.now(timezone.utc):%Y-%m-%d}", **board.description()}  # noqa: UP017 - Python 3.10
    with args.output.open("w", newline="") as file:
        file.writelines(f"# {what}: {said}\n" for what, said in described.items())
        sampler = _Sampler(board, csv.writer(file), names, shared, args.interval)
        for phase in phases[:first]:
            sampler.for_seconds(phase)
        sampler.enter(SETUP)
        loading.start()
        sampler.until_end(loading)
        if loading.exitcode:
            return _fail(f"the loads ended with exit code {loading.exitcode}; what they said is above")
        for phase in phases[last:]:
            sampler.for_seconds(phase)
    print(f"{sampler.samples} samples in {args.output}: {', '.join(described.values())}")
    return 0


class _Sampler:
    """Writes a line every so often: when, the phase, what the loads did in it so far, and the board's readings."""

    def __init__(
        self, board: NvmlBoard, out: Any, names: Sequence[str], shared: MutableSequence[float], interval_s: float
    ) -> None:
        self._board, self._out, self._names, self._shared, self._interval_s = board, out, names, shared, interval_s
        self._start = time.monotonic()
        self.samples = 0
        out.writerow(["at_s", "phase", "steps", "busy_s", *board.columns])

    def for_seconds(self, phase: Phase) -> None:
        """Samples a phase in which the loading process is not there."""
        self.enter(phase.name)
        end = time.monotonic() + phase.seconds
        while time.monotonic() < end:
            self._sample()

    def enter(self, name: str) -> None:
        """Says by itself which phase this is."""
        self._shared[:] = [float(self._names.index(name)), 0.0, 0.0]

    def until_end(self, loading: BaseProcess) -> None:
        """Samples as long as the loading process is there."""
        while loading.is_alive():
            self._sample()

    def _sample(self) -> None:
        begin = time.monotonic()
        phase, steps, busy_s = self._shared
        at_s = begin - self._start
        readings = [f"{reading:g}" if reading < 1e5 else f"{reading:.3f}" for reading in self._board.readings()]
        self._out.writerow([f"{at_s:.3f}", self._names[int(phase)], int(steps), f"{busy_s:.3f}", *readings])
        self.samples += 1
        time.sleep(max(begin + self._interval_s - time.monotonic(), 0.0))


def _fail(words: str) -> int:
    print(words, file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
