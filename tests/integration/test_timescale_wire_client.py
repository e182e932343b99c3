"""Several clients on the one session of the wire server: nobody sees, blocks or breaks what belongs to another."""

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from tests.wire_server import T0, Connection, WireServer, composed, count, drop_line, value

pytestmark = pytest.mark.integration


def together(*work: Callable[[], None]) -> None:
    """Runs functions in threads of their own and raises the first failure."""
    failures: list[BaseException] = []

    def run(function: Callable[[], None]) -> None:
        try:
            function()
        except (AssertionError, psycopg.Error) as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(function,)) for function in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(180)
    if failures:
        raise failures[0]


def test_clients_at_once_each_see_their_own_rows(wire: WireServer, conn: Connection, table: str) -> None:
    def writer(device: int) -> Callable[[], None]:
        def write() -> None:
            with wire.connect(autocommit=False) as client:
                for number in range(40):
                    with client.transaction():
                        moment = T0 + timedelta(seconds=number)
                        client.execute(composed("INSERT INTO {} VALUES (%s, %s, %s)", table), (moment, device, number))
                        mine = composed("SELECT count(*) FROM {} WHERE device = %s", table)
                        assert value(client, mine, (device,)) == number + 1

        return write

    together(*(writer(device) for device in range(3)))
    assert count(conn, table) == 120


def test_reader_waits_for_the_commit_and_sees_no_uncommitted_row(wire: WireServer, conn: Connection) -> None:
    conn.execute("CREATE TABLE isolation (a int)")
    seen: list[int] = []
    with wire.connect(autocommit=False) as writer:
        writer.execute("INSERT INTO isolation VALUES (1)")
        reader = threading.Thread(target=lambda: seen.append(count(conn, "isolation")))
        reader.start()
        writer.execute("INSERT INTO isolation VALUES (2)")
        assert seen == []
        writer.commit()
        reader.join(180)
    assert seen == [2]


@pytest.mark.parametrize("how", ["closed", "line dropped", "dropped in copy", "dropped after an error"])
def test_client_that_leaves_is_rolled_back(wire: WireServer, conn: Connection, how: str) -> None:
    conn.execute("DROP TABLE IF EXISTS gone; CREATE TABLE gone (a int)")
    client = wire.connect(autocommit=False)
    client.execute("INSERT INTO gone VALUES (1)")
    if how == "dropped after an error":
        with pytest.raises(psycopg.errors.DivisionByZero):
            client.execute("SELECT 1/0")
    if how == "dropped in copy":
        copy = client.cursor().copy("COPY gone FROM STDIN")
        copy.__enter__().write("2\n" * 1000)
    if how != "closed":
        drop_line(client)
    client.close()
    assert count(conn, "gone") == 0  # its turn comes, and nothing is left


def test_silent_transaction_ends_when_others_wait(tmp_path: Path) -> None:
    # On a server of its own: with so short a wait, a client that is only slow would be taken for a silent one.
    with WireServer(tmp_path / "data", "--tx-wait", "1") as server, server.connect() as other:
        silent = server.connect(autocommit=False)
        silent.execute("CREATE TABLE never (a int)")
        assert value(other, "SELECT to_regclass('never')") is None
        with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
            silent.execute("SELECT 1")
        silent.close()


def test_prepared_statements_of_two_clients_may_share_a_name(wire: WireServer) -> None:
    with wire.connect(prepare_threshold=0) as one, wire.connect(prepare_threshold=0) as two:
        for number in range(20):  # both call theirs _pg3_0
            assert value(one, "SELECT %s::int + 1", (number,)) == number + 1
            assert value(two, "SELECT 'b' || %s::text", (number,)) == f"b{number}"
        two.execute("DEALLOCATE ALL")  # not those of the other
        assert value(one, "SELECT %s::int + 1", (1,)) == 2
    with wire.connect() as client:  # statements of clients that left are freed
        names = client.execute("SELECT name FROM pg_prepared_statements", prepare=False).fetchall()
        assert [name for (name,) in names if "_pg3_" in name] == []


def test_prepared_inserts_survive_a_change_of_the_table(wire: WireServer) -> None:
    with wire.connect() as one, wire.connect() as two:
        one.execute("CREATE TABLE changed (a int)")
        for number in range(12):  # psycopg prepares after five
            for client in (one, two):
                client.execute("INSERT INTO changed VALUES (%s)", (number,))
        two.execute("ALTER TABLE changed ADD COLUMN z int")
        for client in (one, two):
            client.execute("INSERT INTO changed VALUES (%s)", (1,))
        assert count(one, "changed") == 26


def test_reset_and_discard_leave_the_session_as_clients_expect_it(conn: Connection) -> None:
    conn.execute("CREATE TABLE still_here (a int)")
    for statement in ("RESET ALL", "DISCARD ALL"):
        conn.execute(statement)
        assert value(conn, "SHOW search_path") == "public"
        assert value(conn, "SHOW enable_seqscan") == "on"
        assert count(conn, "still_here") == 0


def test_notification_reaches_who_listens(wire: WireServer, conn: Connection) -> None:
    with wire.connect() as listener:
        listener.execute("LISTEN news")
        conn.execute("SELECT pg_notify('news', 'hello')")
        assert [notice.payload for notice in listener.notifies(timeout=120, stop_after=1)] == ["hello"]


def test_deep_recursion_does_not_overwrite_memory(conn: Connection) -> None:
    depth = 700  # the build's own stack of 64 KB ends at about 300
    text = "SELECT " + "1+(" * depth + "1" + ")" * depth
    assert conn.execute(text.encode()).fetchall() == [(depth + 1,)]
    conn.execute("""CREATE OR REPLACE FUNCTION recursion(n int) RETURNS int LANGUAGE plpgsql AS
        'BEGIN IF n = 0 THEN RETURN 0; END IF; RETURN recursion(n - 1) + 1; END'""")
    assert value(conn, "SELECT recursion(150)") == 150


def test_index_option_that_damages_the_catalogue_is_refused(conn: Connection, table: str) -> None:
    with pytest.raises(psycopg.errors.FeatureNotSupported):
        conn.execute(composed("CREATE INDEX ON {} (value) WITH (timescaledb.transaction_per_chunk)", table))
    conn.execute(composed("CREATE INDEX ON {} (value)", table))
