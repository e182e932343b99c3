"""What every sink promises (projections/sink.py), asked of each on its real server."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import replace

import pytest

from projections.error import FencedError, ProjectionError, RefusedError, TooLargeError, UnavailableError
from projections.sink import NO_IDS, Claim, Sink, Step
from projections.sinks.mongo import MongoSink
from projections.sinks.neo4j import Neo4jSink
from schemas.message_block import Place
from tests.store_world import (
    Neo4jStore,
    RedisStore,
    StoreWorld,
    audit_rows,
    audited,
    refused_transition,
    workload_rows,
    workload_step,
)

pytestmark = pytest.mark.integration

ALL = ("postgres", "redis", "mongo", "mongo-without-transactions", "neo4j")
SERVERS = ("postgres", "redis", "mongo", "neo4j")
LEDGERS = ("postgres", "redis", "mongo", "mongo-without-transactions")

every_store = pytest.mark.parametrize("store", ALL, indirect=True)

ONE: Place = ("workloads.transitions", 0)
TWO: Place = ("workloads.transitions", 1)


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """Closes the sinks of a test."""
    with ExitStack() as stack:
        yield stack


def sink_of(store: StoreWorld, opened: ExitStack, worker: str = "w") -> Sink:
    return opened.enter_context(closing(store.open(store.prefix + worker)))


@every_store
def test_a_first_claim_starts_at_the_oldest_record_and_a_later_one_where_the_rows_end(
    store: StoreWorld, opened: ExitStack
) -> None:
    sink = sink_of(store, opened)
    assert sink.claim({ONE: 7, TWO: 0}) == {ONE: Claim(7, epoch=1), TWO: Claim(0, epoch=1)}
    sink.apply([workload_rows(workload_step(store.prefix + "a"))], {ONE: Step(7, 9, epoch=1)})
    assert sink_of(store, opened).claim({ONE: 8, TWO: 0}) == {ONE: Claim(9, epoch=2), TWO: Claim(0, epoch=2)}


@every_store
def test_the_topic_that_offsets_are_of_is_kept_from_the_first_claim_that_tells_it(
    store: StoreWorld, opened: ExitStack
) -> None:
    name = ONE[0]
    sink = sink_of(store, opened)
    assert sink.claim({ONE: 0}) == {ONE: Claim(0, epoch=1)}
    assert sink.claim({ONE: 0}, {name: "first"}) == {ONE: Claim(0, 2, "first")}
    sink.apply([workload_rows(workload_step(store.prefix + "a"))], {ONE: Step(0, 1, epoch=2)})
    later = sink_of(store, opened)
    assert later.claim({ONE: 0, TWO: 4}, {name: "other"})[ONE] == Claim(1, 3, "first")
    assert later.claim({ONE: 0})[ONE] == Claim(1, 4, "first")


@every_store
def test_rows_and_offsets_arrive_together_and_are_counted(store: StoreWorld, opened: ExitStack) -> None:
    a, b = store.prefix + "a", store.prefix + "b"
    sink = sink_of(store, opened)
    sink.claim({ONE: 0})
    written = sink.apply(
        [workload_rows(workload_step(a), workload_step(b), workload_step(b, 2, "RUNNING"))], {ONE: Step(0, 3, 1)}
    )
    assert written == {"workloads": 2}
    assert store.workloads() == {a: ("QUEUED", 1), b: ("RUNNING", 2)}
    assert sink.claim({ONE: 0})[ONE].next_offset == 3


@every_store
@pytest.mark.parametrize(
    "stale",
    [
        pytest.param(Step(5, 6, epoch=1), id="older epoch"),
        pytest.param(Step(4, 6, epoch=2), id="before the offset"),
        pytest.param(Step(6, 7, epoch=2), id="past the offset"),
    ],
)
def test_one_stale_step_refuses_the_whole_batch(store: StoreWorld, opened: ExitStack, stale: Step) -> None:
    sink = sink_of(store, opened)
    sink.claim({ONE: 5, TWO: 5})
    sink.claim({ONE: 5, TWO: 5})
    for steps in ({ONE: stale}, {ONE: stale, TWO: Step(5, 6, epoch=2)}, {TWO: Step(5, 6, epoch=2), ONE: stale}):
        with pytest.raises(FencedError, match="another worker has claimed them"):
            sink.apply([workload_rows(workload_step(store.prefix + "a"))], steps)
    assert store.workloads() == {}
    assert sink.claim({ONE: 0, TWO: 0}) == {ONE: Claim(5, epoch=3), TWO: Claim(5, epoch=3)}


@every_store
def test_a_place_that_was_never_claimed_can_not_be_stepped(store: StoreWorld, opened: ExitStack) -> None:
    with pytest.raises(FencedError):
        sink_of(store, opened).apply([workload_rows(workload_step(store.prefix + "a"))], {ONE: Step(0, 1, epoch=1)})
    assert store.workloads() == {}


@every_store
def test_an_overtaken_worker_writes_nothing_and_its_successor_goes_on(store: StoreWorld, opened: ExitStack) -> None:
    a, b = store.prefix + "a", store.prefix + "b"
    zombie, successor = sink_of(store, opened), sink_of(store, opened)
    zombie.claim({ONE: 0})
    zombie.apply([workload_rows(workload_step(a))], {ONE: Step(0, 1, epoch=1)})
    assert successor.claim({ONE: 0}) == {ONE: Claim(1, epoch=2)}
    with pytest.raises((FencedError, UnavailableError)):
        zombie.apply([workload_rows(workload_step(b))], {ONE: Step(1, 2, epoch=1)})
    assert store.workloads() == {a: ("QUEUED", 1)}
    successor.apply([workload_rows(workload_step(a, 2, "RUNNING"))], {ONE: Step(1, 2, epoch=2)})
    assert store.workloads() == {a: ("RUNNING", 2)}


@every_store
def test_workers_of_other_names_have_offsets_of_their_own(store: StoreWorld, opened: ExitStack) -> None:
    one, other = sink_of(store, opened, "one"), sink_of(store, opened, "other")
    one.claim({ONE: 0})
    assert other.claim({ONE: 4}) == {ONE: Claim(4, epoch=1)}
    one.apply([], {ONE: Step(0, 1, epoch=1)})
    other.apply([], {ONE: Step(4, 5, epoch=1)})


@every_store
def test_the_log_read_again_changes_nothing(store: StoreWorld, opened: ExitStack) -> None:
    a, b = store.prefix + "a", store.prefix + "b"
    batch = [workload_rows(workload_step(a), workload_step(a, 2, "RUNNING"), workload_step(b))]
    seen = []
    for worker in ("first", "again"):
        sink = sink_of(store, opened, worker)
        sink.claim({ONE: 0})
        sink.apply(batch, {ONE: Step(0, 3, epoch=1)})
        seen.append(store.workloads())
    assert seen == [{a: ("RUNNING", 2), b: ("QUEUED", 1)}] * 2


@every_store
def test_an_older_row_never_replaces_a_newer_one(store: StoreWorld, opened: ExitStack) -> None:
    a, b = store.prefix + "a", store.prefix + "b"
    sink = sink_of(store, opened)
    sink.claim({ONE: 0})
    # 10 is less than 9 as text.
    sink.apply([workload_rows(workload_step(a, 10, "RUNNING"))], {ONE: Step(0, 1, 1)})
    sink.apply([workload_rows(workload_step(a, 9, "SCHEDULED"), workload_step(b))], {ONE: Step(1, 3, 1)})
    assert store.workloads() == {a: ("RUNNING", 10), b: ("QUEUED", 1)}
    # The same table twice in one batch, as from two topics.
    twice = [workload_rows(workload_step(b, 3, "RUNNING")), workload_rows(workload_step(b, 2, "SCHEDULED"))]
    sink.apply(twice, {ONE: Step(3, 5, 1)})
    assert store.workloads()[b] == ("RUNNING", 3)
    sink.apply([workload_rows(workload_step(a, 11, "COMPLETED"))], {ONE: Step(5, 6, 1)})
    assert store.workloads()[a] == ("COMPLETED", 11)


@every_store
def test_a_row_that_the_store_refuses_stops_its_batch_and_no_other(store: StoreWorld, opened: ExitStack) -> None:
    a, bad = store.prefix + "a", store.prefix + "bad"
    store.refuse(bad)
    sink = sink_of(store, opened)
    sink.claim({ONE: 0})
    with pytest.raises(RefusedError) as refused:
        sink.apply([workload_rows(workload_step(a), refused_transition(bad))], {ONE: Step(0, 2, epoch=1)})
    assert refused.value.error
    if store.is_atomic:
        assert store.workloads() == {}
    # The engine writes the halves, and of the bad one only the offset.
    sink.apply([workload_rows(workload_step(a))], {ONE: Step(0, 1, epoch=1)})
    sink.apply([], {ONE: Step(1, 2, epoch=1)})
    assert store.workloads() == {a: ("QUEUED", 1)}


@pytest.mark.chaos
@pytest.mark.parametrize("store", SERVERS, indirect=True)
def test_a_killed_server_keeps_what_was_applied_and_says_when_it_is_away(store: StoreWorld, opened: ExitStack) -> None:
    a, b = store.prefix + "a", store.prefix + "b"
    sink = sink_of(store, opened)
    sink.claim({ONE: 0})
    sink.apply([workload_rows(workload_step(a))], {ONE: Step(0, 1, epoch=1)})
    store.kill()
    try:
        with pytest.raises(UnavailableError):
            sink.apply([workload_rows(workload_step(b))], {ONE: Step(1, 2, epoch=1)})
        with pytest.raises(UnavailableError):
            store.open("elsewhere").claim({ONE: 0})
    finally:
        store.up()
    again = sink_of(store, opened)
    assert again.claim({ONE: 0}) == {ONE: Claim(1, epoch=2)}
    assert store.workloads() == {a: ("QUEUED", 1)}
    again.apply([workload_rows(workload_step(b))], {ONE: Step(1, 2, epoch=2)})
    assert store.workloads() == {a: ("QUEUED", 1), b: ("QUEUED", 1)}


@pytest.mark.chaos
@pytest.mark.parametrize("store", ["redis", "mongo"], indirect=True)
def test_a_server_killed_while_it_writes_has_all_of_a_batch_or_nothing(store: StoreWorld, opened: ExitStack) -> None:
    ids = [f"{store.prefix}{number:04d}" for number in range(1_000)]
    sink = sink_of(store, opened)
    sink.claim({ONE: 0})
    began = time.monotonic()
    sink.apply([workload_rows(*map(workload_step, ids))], {ONE: Step(0, 1, epoch=1)})
    usual_s = time.monotonic() - began
    applied = 1
    for share in (0.4, 0.8):
        batch = workload_rows(*(workload_step(workload_id, applied + 1) for workload_id in ids))
        step = {ONE: Step(applied, applied + 1, sink.claim({ONE: 0})[ONE].epoch)}
        killer = threading.Timer(share * usual_s, store.kill)
        killer.start()
        with suppress(UnavailableError):
            sink.apply([batch], step)
        killer.join()
        store.up()
        sink = sink_of(store, opened)
        found = sink.claim({ONE: 0})[ONE].next_offset
        assert found in {applied, applied + 1}
        applied = found
        assert set(store.workloads().values()) == {("QUEUED", applied)}
    assert len(store.workloads()) == len(ids)


@pytest.mark.parametrize("store", ["mongo"], indirect=True)
def test_a_batch_that_is_too_large_for_a_transaction_is_written_in_parts(store: StoreWorld, opened: ExitStack) -> None:
    # 64 MB of cache in the embedded server, of which a transaction may have a part.
    wide = workload_rows(*(workload_step(f"{store.prefix}{n}", reason="x" * 100_000) for n in range(500)))
    sink = sink_of(store, opened)
    sink.claim({ONE: 0})
    with pytest.raises(TooLargeError):
        sink.apply([wide], {ONE: Step(0, 500, epoch=1)})
    assert store.workloads() == {}
    for start in range(0, 500, 50):
        part = replace(wide, frame=wide.frame[start : start + 50])
        sink.apply([part], {ONE: Step(start, start + 50, epoch=1)})
    assert len(store.workloads()) == 500


@pytest.mark.parametrize("store", ["neo4j"], indirect=True)
def test_a_claim_that_is_not_done_yet_stops_who_reads_the_epoch_behind_it(store: StoreWorld, opened: ExitStack) -> None:
    assert isinstance(store, Neo4jStore)
    zombie, successor = sink_of(store, opened), sink_of(store, opened)
    assert isinstance(successor, Neo4jSink)
    zombie.claim({ONE: 0})
    blocked = "SHOW TRANSACTIONS YIELD status WHERE status STARTS WITH 'Blocked' RETURN count(*)"
    with ThreadPoolExecutor(1) as pool:
        with successor._transaction() as claiming:
            successor._claim_in(claiming, {ONE: 0}, NO_IDS)
            late = pool.submit(zombie.apply, [workload_rows(workload_step(store.prefix + "a"))], {ONE: Step(0, 1, 1)})
            while store.query(blocked) == [(0,)]:
                assert not late.done()
        with pytest.raises(FencedError):
            late.result(180)
    assert store.workloads() == {}
    assert successor.claim({ONE: 0}) == {ONE: Claim(0, epoch=3)}


@pytest.mark.parametrize("store", ["redis", "neo4j"], indirect=True)
def test_a_wrong_password_is_for_people_to_mend_and_not_waited_for(store: StoreWorld) -> None:
    assert isinstance(store, RedisStore | Neo4jStore)
    with pytest.raises(ProjectionError, match="does not let w in") as refused:
        store.open_with_password("guess", "w")
    assert not isinstance(refused.value, UnavailableError)


@pytest.mark.parametrize("store", LEDGERS, indirect=True)
def test_a_ledger_keeps_the_first_of_each_event(store: StoreWorld, opened: ExitStack) -> None:
    a, b = store.prefix + "a", store.prefix + "b"
    sink = sink_of(store, opened)
    sink.claim({ONE: 0})
    assert sink.apply([audit_rows(audited(a), audited(a, "late"))], {ONE: Step(0, 2, epoch=1)}) == {"audit_logs": 1}
    assert sink.apply([audit_rows(audited(a, "late"), audited(b))], {ONE: Step(2, 4, epoch=1)}) == {"audit_logs": 1}
    assert store.actors() == {a: "acme", b: "acme"}


@pytest.mark.parametrize("store", ["mongo-without-transactions"], indirect=True)
def test_what_a_zombie_writes_late_without_a_transaction_changes_nothing(
    store: StoreWorld, opened: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = store.prefix + "a", store.prefix + "b"
    zombie, successor = sink_of(store, opened), sink_of(store, opened)
    assert isinstance(zombie, MongoSink)
    zombie.claim({ONE: 0})
    late = [workload_rows(workload_step(a)), audit_rows(audited(b))]
    # It has looked at its offsets, sleeps, and wakes up behind all that its successor did.
    zombie._require_current({ONE: Step(0, 2, epoch=1)})
    successor.claim({ONE: 0})
    successor.apply(late, {ONE: Step(0, 2, epoch=2)})
    successor.apply([workload_rows(workload_step(a, 2, "RUNNING"))], {ONE: Step(2, 3, epoch=2)})
    before = store.workloads(), store.actors()
    monkeypatch.setattr(zombie, "_require_current", lambda _steps: None)
    with pytest.raises(FencedError):
        zombie.apply(late, {ONE: Step(0, 2, epoch=1)})
    assert (store.workloads(), store.actors()) == before == ({a: ("RUNNING", 2)}, {b: "acme"})
    assert successor.claim({ONE: 0})[ONE].next_offset == 3
