"""Warnings of ours reach stderr, once, and nobody else's handlers."""

import logging

import pytest

from flows.stderr import warnings_on_stderr


def test_warnings_are_lines_on_stderr(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("siglino.store")
    with warnings_on_stderr():
        log.info("a detail")
        log.warning("waiting for the store %s", "s3://bucket")
        logging.getLogger("another").warning("not ours")
    log.warning("after")
    assert capsys.readouterr().err == "warning: waiting for the store s3://bucket\n"
    assert [record.getMessage() for record in caplog.records] == ["not ours", "after"]
