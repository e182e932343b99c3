"""Faults of single events: each is in the ledger, and the events that remain are the true ones."""

from collections import Counter
from collections.abc import Iterable
from functools import cache

import polars as pl
import pytest

from simulators.damage import Damage
from simulators.event_fault import FEEDS, TOPICS, EventFaults
from simulators.fault import EventFaultShares, Fault
from simulators.simulation import Entry, Slice
from simulators.timeline import MINUTE_MS
from tests.simulators_world import a_simulation, slices

MIXED = EventFaultShares(late=0.1, duplicate=0.1, disorder=0.1, missing=0.1, corrupt=0.1, stale=0.2)


@cache
def clean() -> list[Slice]:
    """The truth."""
    return slices(a_simulation(), 4200)


def faulted(
    shares: EventFaultShares, seed: int = 1, found: Iterable[Slice] | None = None
) -> tuple[list[tuple[int, Entry]], pl.DataFrame]:
    """What is sent with which slice of the truth (all, if None), ms, and the ledger."""
    faults = EventFaults(shares, seed)
    done = [(part.start_ms, faults.apply(part.entries, part.start_ms)) for part in found or clean()]
    sent = [(start_ms, entry) for start_ms, (entries, _) in done for entry in entries]
    return sent, pl.concat([*(ledger for _, (_, ledger) in done), faults.lost()])


def ids(ledger: pl.DataFrame, *kinds: Fault) -> list[str]:
    """The events of the ledger with one of the faults."""
    return ledger.filter(pl.col("kind").is_in(kinds))["event_id"].to_list()


def test_what_is_sent_differs_from_the_truth_by_what_the_ledger_says() -> None:
    sent, ledger = faulted(MIXED)
    true = Counter(entry.event.event_id for part in clean() for entry in part.entries)
    true.subtract(ids(ledger, Fault.MISSING, Fault.STALE))
    true.update(ids(ledger, Fault.DUPLICATE))
    assert Counter(entry.event.event_id for _, entry in sent) == +true
    assert set(ledger["kind"]) == set(MIXED.by_fault())
    assert set(ledger["topic"]) == set(TOPICS)
    assert not ledger["event_id"].is_duplicated().any()


def test_events_are_never_changed_but_for_the_bytes_of_corrupt_ones() -> None:
    sent, ledger = faulted(MIXED)
    true = {entry.event.event_id: entry for part in clean() for entry in part.entries}
    damages = dict(ledger.filter(kind=Fault.CORRUPT).select("event_id", "damage").iter_rows())
    for _, entry in sent:
        original = true[entry.event.event_id]
        assert (entry.topic, entry.event) == (original.topic, original.event)
        assert entry.damage == damages.get(entry.event.event_id)
    assert set(damages.values()) == set(Damage)


@pytest.mark.parametrize(("kind", "least_ms", "most_ms"), [(Fault.LATE, 60_000, 180_000), (Fault.DISORDER, 3000, 6000)])
def test_what_is_held_back_comes_when_the_ledger_says(kind: Fault, least_ms: int, most_ms: int) -> None:
    sent, ledger = faulted(MIXED)
    held = dict(ledger.filter(kind=kind).select("event_id", "shift_ms").iter_rows())
    began = {entry.event.event_id: part.start_ms for part in clean() for entry in part.entries}
    came = {entry.event.event_id: start_ms for start_ms, entry in sent}
    assert held
    assert all(least_ms <= shift_ms <= most_ms for shift_ms in held.values())
    assert {event_id: came[event_id] - began[event_id] for event_id in held} == held


def test_a_stale_feed_is_silent_for_the_half_hour_and_requests_are_no_feed() -> None:
    sent, ledger = faulted(EventFaultShares(stale=0.3))

    def blocks(entries: Iterable[tuple[str, str, int]]) -> set[tuple[str, str, int]]:
        return {(name, key, at_ms // (30 * MINUTE_MS)) for name, key, at_ms in entries if name in FEEDS}

    silent = blocks(ledger.select("topic", "key", "event_time_ms").iter_rows())
    spoke = blocks((entry.topic.name, entry.key, entry.at_ms) for _, entry in sent)
    assert silent
    assert not silent & spoke
    assert silent | spoke == blocks((x.topic.name, x.key, x.at_ms) for part in clean() for x in part.entries)
    assert set(ledger["topic"]) <= set(FEEDS)


def test_faults_are_those_of_the_event_wherever_the_run_starts() -> None:
    _, whole = faulted(MIXED)
    _, later = faulted(MIXED, found=clean()[700:])
    since = [entry.event.event_id for part in clean()[700:] for entry in part.entries]
    assert sorted(later.rows()) == sorted(whole.filter(pl.col("event_id").is_in(since)).rows())
    assert faulted(MIXED, seed=2)[1].rows() != whole.rows()


def test_without_faults_nothing_is_changed() -> None:
    sent, ledger = faulted(EventFaultShares())
    assert [entry for _, entry in sent] == [entry for part in clean() for entry in part.entries]
    assert ledger.is_empty()
