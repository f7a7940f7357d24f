"""Who waits for a store is told so, once in a while for each store."""

import pytest

from siglino_core.store import patience
from siglino_core.store.patience import Patience, be_patient, tell


@pytest.fixture(autouse=True)
def _nothing_told() -> None:
    patience._told.clear()


def test_a_store_is_named_once_in_a_while(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    now = 1000.0
    monkeypatch.setattr(patience.time, "monotonic", lambda: now)
    for now, url in (
        (1000.0, "s3://one/run/a"),
        (1059.0, "s3://one/run/b"),
        (1059.0, "s3://two"),
        (1061.0, "s3://one"),
        (1062.0, "/disk"),
    ):
        tell(url, f"since {now:.0f}")
    assert [record.getMessage() for record in caplog.records] == [
        "waiting for the store s3://one: since 1000",
        "waiting for the store s3://two: since 1059",
        "waiting for the store s3://one: since 1061",
        "waiting for the store /disk: since 1062",
    ]


def test_a_process_gets_its_patience_back() -> None:
    usual = patience.patience()
    before = be_patient(Patience(known=600, stranger=600))
    assert patience.patience() == Patience(known=600, stranger=600)
    be_patient(before)
    assert patience.patience() == usual
