"""What a megawatt earns by GPU workloads: power by utilisation, price of a GPU-hour, preemption, deadlines."""

from dataclasses import dataclass
from datetime import datetime

from streams.domain.economics.argument import require_not_negative, require_positive, require_pue, require_ratio

SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, slots=True)
class GpuPowerCurve:
    """Power of one GPU board, W, as a line from idle to its limit by utilisation.

    The defaults are the H100 SXM5: 700 W at most (NVIDIA H100 data sheet), about 70 W without work. Published
    percentiles of a cluster of other boards (AcmeTrace, Kalos: 63, 101 and 404 W at 10, 50 and 90 % of the time) have
    the same idle level. A line: what work takes differs more than what a curve would add. Measured on H100s
    (simulators/gpu/measurement), half of the time took 517 W with matrix products and 331 W with copies; the line has
    385 W.
    """

    idle_w: float = 70.0
    max_w: float = 700.0

    def power_w(self, utilization_ratio: float) -> float:
        """Power at a utilisation from 0 to 1, W. Raises ValueError outside of it."""
        require_ratio("utilization_ratio", utilization_ratio)
        return self.idle_w + (self.max_w - self.idle_w) * utilization_ratio


@dataclass(frozen=True, slots=True)
class Checkpointing:
    """How a workload keeps its progress: a checkpoint every `interval_s`, `restart_s` from a grant of GPUs to work."""

    interval_s: float = 1800.0
    restart_s: float = 300.0


def gpu_hour_price_usd(contract_usd: float | None, spot_usd: float) -> float:
    """Price of a GPU-hour: what was agreed, else the spot market's."""
    price = spot_usd if contract_usd is None else contract_usd
    require_not_negative("price of a GPU-hour", price)
    return price


def gpu_value_usd_mwh(price_usd_gpu_hour: float, power_w: float, pue_ratio: float) -> float:
    """Revenue of a MWh at the meter that busy GPUs draw: GPU-hours in a MWh times the price of one.

    With the power over idle it is the value of the next MW, for GPUs idle at their standby draw either way.
    """
    require_not_negative("price_usd_gpu_hour", price_usd_gpu_hour)
    require_positive("power_w", power_w)
    require_pue(pue_ratio)
    return price_usd_gpu_hour / (power_w * pue_ratio / 1e6)


def break_even_gpu_hour_usd(power_cost_usd_mwh: float, power_w: float, pue_ratio: float) -> float:
    """Price of a GPU-hour that pays exactly for its energy, USD; 0 where power is free."""
    require_positive("power_w", power_w)
    require_pue(pue_ratio)
    return max(power_cost_usd_mwh * power_w * pue_ratio / 1e6, 0.0)


def work_lost_s(progress_s: float, checkpoint: Checkpointing) -> float:
    """Run time since the last checkpoint, s: what stopping a workload now throws away."""
    require_not_negative("progress_s", progress_s)
    require_positive("interval_s", checkpoint.interval_s)
    return progress_s % checkpoint.interval_s


def preemption_cost_usd(
    gpus: int, price_usd_gpu_hour: float, progress_s: float, checkpoint: Checkpointing, sla_penalty_usd: float = 0.0
) -> float:
    """Cost of stopping a workload and running it again later, USD.

    The GPU-hours that are worked twice (since the last checkpoint) or earn nothing (the restart), at its price, and the
    penalty where the stop makes it miss its deadline.
    """
    require_not_negative("gpus", gpus)
    require_not_negative("price_usd_gpu_hour", price_usd_gpu_hour)
    require_not_negative("restart_s", checkpoint.restart_s)
    require_not_negative("sla_penalty_usd", sla_penalty_usd)
    lost_h = (work_lost_s(progress_s, checkpoint) + checkpoint.restart_s) / SECONDS_PER_HOUR
    return gpus * price_usd_gpu_hour * lost_h + sla_penalty_usd


def deadline_slack_s(at: datetime, remaining_s: float, deadline: datetime | None) -> float | None:
    """How long a workload may wait from `at` on and still be complete by its deadline, s; below zero where it is late.

    None for one without a deadline.
    """
    require_not_negative("remaining_s", remaining_s)
    return None if deadline is None else (deadline - at).total_seconds() - remaining_s


def sla_penalty_usd(penalty_usd: float, slack_s: float | None, wait_s: float) -> float:
    """What is owed for a workload that has to wait: its penalty, once, where the wait is longer than its slack."""
    require_not_negative("penalty_usd", penalty_usd)
    require_not_negative("wait_s", wait_s)
    return penalty_usd if slack_s is not None and wait_s > slack_s else 0.0
