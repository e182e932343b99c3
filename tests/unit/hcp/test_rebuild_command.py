"""How `hcp rebuild` is stopped, and what it says of a comparison."""

import os
import signal

import pytest

from hcp.commands.rebuild import _stopping, _told
from projections.rebuild.checksum import Checksum
from projections.rebuild.config import Verdict
from projections.tables import CUSTOMERS


def test_the_first_ctrl_c_asks_to_stop_and_the_second_one_ends() -> None:
    before = signal.getsignal(signal.SIGINT)
    with _stopping() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_difference_is_told_with_its_rows_and_both_checksums(capsys: pytest.CaptureFixture[str]) -> None:
    same = Verdict(Checksum(1, -1), Checksum(1, -1), (), (), events=1, refused=0)
    other = Verdict(Checksum(1, -1), Checksum(1, 31), ("(a,1)",), ("(a,2)",), events=1, refused=0)
    assert _told(CUSTOMERS, same)
    assert not _told(CUSTOMERS, other)
    assert capsys.readouterr().out.splitlines() == [
        "customers: equal",
        "  served:  1 rows, checksum ffffffffffffffff",
        "  rebuilt: 1 rows, checksum ffffffffffffffff",
        "customers: DIFFERENT",
        "  served:  1 rows, checksum ffffffffffffffff",
        "  rebuilt: 1 rows, checksum 000000000000001f",
        "  only served:  (a,1)",
        "  only rebuilt: (a,2)",
    ]
