"""The loads, by PyTorch, in a process of its own: its context comes and goes with it, and sampling is not held up."""

import time
from collections.abc import Callable, MutableSequence, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from simulators.gpu.measurement.schedule import SETUP, TRAINING_PHASES, Load, Phase

PERIOD_S = 0.13
"""From one burst to the next: no multiple or divisor of the 100 ms in which boards renew their readings."""

_PRODUCT = 8192
_SMALL = 256
_SMALL_AT_ONCE = 100
_COPIED_BYTES = 2**32
_SPIN_CYCLES = 2_000_000
_CYCLES = 3
_STALL_SHARE = 0.2
_LAYERS, _WIDTH, _HEADS, _TOKENS, _BATCH = 12, 2048, 16, 2048, 8

Step = Callable[[], object]


class Progress:
    """What the loading process says of itself to the sampling one, in shared memory."""

    def __init__(self, shared: MutableSequence[float]) -> None:
        """`shared` has a number each for the phase, its steps so far, and the seconds that these took."""
        self._shared = shared

    def begin(self, phase: int) -> None:
        """Says that a phase begins."""
        self._shared[:] = [float(phase), 0.0, 0.0]

    def add(self, steps: int, seconds: float) -> None:
        """Says that the GPU was busy with so many more steps for so long."""
        self._shared[1] += steps
        self._shared[2] += seconds


def run(phases: Sequence[Phase], names: Sequence[str], index: int, shared: MutableSequence[float]) -> None:
    """Goes through the phases, which are among `names`, on the GPU of an index. Ends with its process."""
    import torch  # noqa: PLC0415 - not a dependency: only who measures needs it

    torch.cuda.set_device(index)
    torch.cuda.synchronize()
    progress = Progress(shared)
    for phase in phases:
        progress.begin(names.index(SETUP))
        if phase.load is Load.TRAINING:
            _train(torch, phase.seconds, progress, names)
            continue
        step = None if phase.load is Load.WAIT else _steps(torch)[phase.load]()
        progress.begin(names.index(phase.name))
        if step is None:
            time.sleep(phase.seconds)
        else:
            _bursts(torch, step, phase, progress)
        progress.begin(names.index(SETUP))
        del step
        torch.cuda.empty_cache()


def _bursts(torch: Any, step: Step, phase: Phase, progress: Progress) -> None:
    end = time.monotonic() + phase.seconds
    while (begin := time.monotonic()) < end:
        steps, ahead = 0, torch.cuda.Event()
        while (now := time.monotonic()) - begin < phase.duty * PERIOD_S and now < end:
            # One step ahead of the GPU, so that it does not wait for the next.
            step()
            event = torch.cuda.Event()
            event.record()
            ahead.synchronize()
            ahead = event
            steps += 1
        if phase.duty < 1:
            torch.cuda.synchronize()
        progress.add(steps, time.monotonic() - begin)
        if phase.duty < 1:
            time.sleep(max(begin + PERIOD_S - time.monotonic(), 0.0))
    torch.cuda.synchronize()


def _steps(torch: Any) -> dict[Load, Callable[[], Step]]:
    """Returns what makes the step of each load: work of a few milliseconds at most."""
    bf16, fp32 = torch.bfloat16, torch.float32

    def product(size: int, dtype: Any, filled: float = 1.0, times: int = 1) -> Step:
        left, right = (torch.randn(size, size, device="cuda").to(dtype) for _ in range(2))
        for matrix in (left, right):
            matrix[torch.rand(size, size, device="cuda") >= filled] = 0
        out = torch.empty(size, size, device="cuda", dtype=dtype)

        def step() -> None:
            for _ in range(times):
                torch.mm(left, right, out=out)

        return step

    def copy() -> Step:
        source, target = (torch.empty(_COPIED_BYTES // 4, device="cuda").normal_() for _ in range(2))
        return lambda: target.copy_(source)

    return {
        Load.SPIN: lambda: lambda: torch.cuda._sleep(_SPIN_CYCLES),  # noqa: SLF001 - one thread that waits
        Load.SMALL: lambda: product(_SMALL, fp32, times=_SMALL_AT_ONCE),
        Load.COPY: copy,
        Load.PRODUCT: lambda: product(_PRODUCT, bf16),
        Load.SPARSE_PRODUCT: lambda: product(_PRODUCT, bf16, filled=0.5),
        Load.ZERO_PRODUCT: lambda: product(_PRODUCT, bf16, filled=0.0),
        Load.FLOAT_PRODUCT: lambda: product(_PRODUCT // 4, fp32),
    }


def _train(torch: Any, seconds: float, progress: Progress, names: Sequence[str]) -> None:
    """Trains a small language model on random tokens: steps, then a wait for data, steps, and a checkpoint, in turn."""
    layer = torch.nn.TransformerEncoderLayer(
        _WIDTH, _HEADS, 4 * _WIDTH, dropout=0.0, activation="gelu", batch_first=True, norm_first=True, device="cuda"
    )
    model = torch.nn.TransformerEncoder(layer, _LAYERS, enable_nested_tensor=False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    mask = torch.nn.Transformer.generate_square_subsequent_mask(_TOKENS, device="cuda")
    tokens = torch.randn(_BATCH, _TOKENS, _WIDTH, device="cuda")

    def step() -> None:
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = model(tokens, mask=mask, is_causal=True).float().pow(2).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        torch.cuda.synchronize()

    def steps(seconds: float) -> None:
        progress.begin(names.index(TRAINING_PHASES[0]))
        end = time.monotonic() + seconds
        while (begin := time.monotonic()) < end:
            step()
            progress.add(1, time.monotonic() - begin)

    step()
    end = time.monotonic() + seconds
    part_s = seconds / _CYCLES / 2
    # In memory, so that no disk is measured.
    with TemporaryDirectory(dir="/dev/shm") as folder:
        while time.monotonic() + part_s / 2 < end:
            steps(part_s * (1 - _STALL_SHARE))
            progress.begin(names.index(TRAINING_PHASES[1]))
            time.sleep(part_s * _STALL_SHARE)
            steps(part_s * (1 - _STALL_SHARE))
            progress.begin(names.index(TRAINING_PHASES[2]))
            torch.save(model.state_dict(), Path(folder) / "checkpoint.pt")
    progress.begin(names.index(SETUP))
