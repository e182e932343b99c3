"""From an event of the grid to its decision in Postgres, while a large fleet reports beside it.

`python -m tests.bench.decision_latency [--events N] [--intervals N] [--rate N]`. The stack, all workers and the
simulator run as in `hcp demo`; beside them one process produces N readings a second. First signals, one at a time, each
of which limits nothing: the agents dispatch it at once. Then the prices with which intervals begin, of all facilities
together, interval after interval ahead of event time: each is dispatched, and the next interval waits until all have
planned. The clock starts before an event is handed to the producer and stops when a query finds the row of its
decision, so broker, agents, solver, transaction, projection and query are all in it.
"""

import argparse
import multiprocessing
import os
import random
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import NAMESPACE_OID, uuid5

import psycopg
from confluent_kafka import Producer

from projections.table import Database
from schemas.catalog import topic
from schemas.events import Facility, GridMarket, GridPrice, GridSignal, MarketTick, SignalKind, SignalStatus
from streams.domain.evaluation import interval_start
from streams.domain.market_state import BTC, GPU_HOUR
from streams.domain.trigger import DispatchPolicy, regular_decision_id
from tests.bench.latency import report
from tests.bench.live import produce_fleet
from tests.demo_world import FLEET, DemoWorld, running_demo

PROMISED_MS = 500.0
WARM_UP = 10
LIMIT_S = 60.0
FACILITY = "Texas-1"
DECIDED = "SELECT 1 FROM allocations WHERE facility_id = %s AND decided_at >= %s"
ALL_DECIDED = "SELECT DISTINCT facility_id, decision_id FROM allocations WHERE decided_at >= %s"


def main() -> int:
    """Measures and prints; returns 1 where the 99th percentile is above what is promised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=300, help="signals (default %(default)s)")
    parser.add_argument("--intervals", type=int, default=50, help="(default %(default)s)")
    parser.add_argument("--rate", type=int, default=27_000, help="readings a second beside (default %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("bench-results"), help="folder (default %(default)s)")
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="hcp-latency-") as directory,
        running_demo(Path(directory), *FLEET[:-1], "1") as world,
    ):
        first = world.await_rows(Database.POSTGRES, "SELECT max(decided_at) FROM allocations", lambda rows: rows[0][0])
        behind = timedelta(seconds=round((datetime.now(UTC) - first[0][0]).total_seconds()))
        stop, sent = multiprocessing.Event(), multiprocessing.Value("q", 0)
        os.environ["LIVE_SCHEMA_ID"] = str(world.codec.registry.schema_id(topic("telemetry.asic")))
        kafka = world.environment["HCP_KAFKA_BOOTSTRAP_SERVERS"]
        source = multiprocessing.Process(target=produce_fleet, args=(kafka, behind, args.rate, stop, sent))
        source.start()
        began = time.monotonic()
        try:
            of_signals = sorted(_measured(world, behind, args.events)[WARM_UP:])
            of_prices = sorted(_measured_prices(world, behind, args.intervals))
        finally:
            stop.set()
            source.join()
        rate = sent.value / (time.monotonic() - began)
    missed = [
        report(found, PROMISED_MS, args.output / f"{name}-latency.json", readings_per_s=round(rate))
        for name, found in (("decision", of_signals), ("price", of_prices))
        if found
    ]
    return max(missed)


def _measured(world: DemoWorld, behind: timedelta, events: int) -> list[float]:
    entry, chance = topic("grid.signals"), random.Random(1)
    producer, found = _producer(world), []
    with psycopg.connect(world.environment["HCP_POSTGRES_DSN"], autocommit=True) as connection:
        for number in range(events):
            now = datetime.now(UTC)
            event = _signal(number, now.replace(microsecond=now.microsecond // 1000 * 1000) - behind)
            value = world.codec.encode(entry, event)
            began = time.monotonic()
            producer.produce(entry.name, value, FACILITY.encode())
            producer.poll(0)
            # Decisions come in the order of their times: where another followed at once, the row is that one's.
            while not connection.execute(DECIDED, (FACILITY, event.observed_at)).fetchall():
                if time.monotonic() - began > LIMIT_S:
                    raise SystemExit(f"the decision of signal {number} is not there after {LIMIT_S:.0f} s")
            found.append((time.monotonic() - began) * 1000)
            # Not in step with the workers' polls.
            threading.Event().wait(chance.uniform(0.2, 0.5))
    return found


def _measured_prices(world: DemoWorld, behind: timedelta, intervals: int) -> list[float]:
    policy, chance, found = DispatchPolicy(), random.Random(2), []
    length = timedelta(seconds=policy.interval_s)
    first = interval_start(datetime.now(UTC) - behind, policy.interval_s) + 2 * length
    facilities: list[Facility] = list({f.facility_id: f for _, f in world.committed("registry.facilities")}.values())
    producer = _producer(world)
    with psycopg.connect(world.environment["HCP_POSTGRES_DSN"], autocommit=True) as connection:
        for number in range(intervals):
            at = first + number * length
            ticks = [_tick(BTC, at, chance.uniform(80_000, 120_000)), _tick(GPU_HOUR, at, 2.0)]
            for tick in ticks:
                producer.produce("market.ticks", world.codec.encode(topic("market.ticks"), tick), tick.instrument)
            producer.flush()
            prices = [_price(facility, at, chance.uniform(10, 120)) for facility in facilities]
            values = [(world.codec.encode(topic("grid.prices"), price), price.settlement_point) for price in prices]
            began = time.monotonic()
            for value, key in values:
                producer.produce("grid.prices", value, key)
            producer.poll(0)
            waiting, unplanned = {f.facility_id for f in facilities}, {f.facility_id for f in facilities}
            while unplanned:
                newest = connection.execute(ALL_DECIDED, (at,)).fetchall()
                took_ms = (time.monotonic() - began) * 1000
                for facility, decision_id in newest:
                    if facility in waiting:
                        waiting.remove(facility)
                        found.append(took_ms)
                    if decision_id != regular_decision_id(facility, at):
                        unplanned.discard(facility)
                if took_ms > LIMIT_S * 1000:
                    raise SystemExit(f"{', '.join(sorted(unplanned))}: no plan of {at} after {LIMIT_S:.0f} s")
            threading.Event().wait(chance.uniform(0.2, 0.5))
    return found


def _producer(world: DemoWorld) -> Producer:
    return Producer({**world.kafka, "linger.ms": 0, "partitioner": "murmur2_random"})


def _tick(instrument: str, at: datetime, price_usd: float) -> MarketTick:
    return MarketTick(
        event_id=str(uuid5(NAMESPACE_OID, f"latency/{instrument}/{at.isoformat()}")),
        instrument=instrument,
        observed_at=at,
        price_usd=price_usd,
        source="latency",
    )


def _price(facility: Facility, at: datetime, price_usd_mwh: float) -> GridPrice:
    return GridPrice(
        event_id=str(uuid5(NAMESPACE_OID, f"latency/{facility.settlement_point}/{at.isoformat()}")),
        settlement_point=facility.settlement_point,
        market=GridMarket.REAL_TIME,
        observed_at=at,
        interval_start=at,
        interval_s=DispatchPolicy().interval_s,
        price_usd_mwh=price_usd_mwh,
    )


def _signal(number: int, at: datetime) -> GridSignal:
    return GridSignal(
        event_id=str(uuid5(NAMESPACE_OID, f"latency/{number}/{at.isoformat()}")),
        signal_id=f"latency-{number}",
        facility_id=FACILITY,
        kind=SignalKind.CURTAILMENT,
        status=SignalStatus.CALLED,
        observed_at=at,
        starts_at=at,
        ends_at=at + timedelta(minutes=1),
        limit_mw=1e6,
        payment_usd_mwh=0.0,
    )


if __name__ == "__main__":
    raise SystemExit(main())
