"""Sealed records: every flipped bit is found, and nothing else is refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siglino_core.errors import ConfigError, DamagedError
from siglino_core.store.sealed import FORMAT, as_json, opened, sealed

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
RECORD = {"fingerprint": "9d48", "rows": 1024, "facts": {"share": 0.25, "says": "näher"}, "files": {"a": [3, "ff"]}}


@given(st.dictionaries(st.text().filter(lambda k: k not in ("seal", "format")), PLAIN, max_size=6))
def test_there_and_back(record: dict[str, Any]) -> None:
    assert opened(sealed(record), "x") == json.loads(as_json(record))
    assert sealed(record) == sealed(dict(reversed(record.items())))


def test_every_flipped_bit_is_found() -> None:
    good = sealed(RECORD)
    for i in range(8 * len(good)):
        data = bytearray(good)
        data[i // 8] ^= 1 << (i % 8)
        with pytest.raises(DamagedError, match=r"^x\.json is damaged: "):
            opened(bytes(data), "x.json")


@given(st.integers(0, 400), st.binary(max_size=20))
def test_what_was_cut_short_or_overwritten(at: int, data: bytes) -> None:
    good = sealed(RECORD)
    for bad in (good[:at], good[:at] + data, good[:at] + data + good[at + len(data) :]):
        if bad != good:
            with pytest.raises(DamagedError, match="is damaged"):
                opened(bad, "x")


@pytest.mark.parametrize("data", [b"", b"[]", b"3", b"null", b"\xff\xfe", b"[" * 100_000, b'{"a": 1'])
def test_what_is_no_record(data: bytes) -> None:
    with pytest.raises(DamagedError, match=r"^x is damaged: it is no record\. `siglino verify RUN --mend`"):
        opened(data, "x")


@pytest.mark.parametrize("was", [{"rows": 3}, {"rows": 3, "format": FORMAT - 1}])
def test_what_an_earlier_version_wrote(was: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=r"^runs/x/embed/plan\.json was made by an earlier version"):
        opened(as_json(was), "runs/x/embed/plan.json")
    with pytest.raises(DamagedError):
        opened(as_json({**was, "format": FORMAT}), "x")
