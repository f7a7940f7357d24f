"""Pickles of strangers: plain values come out, and nothing that a pickle can run is run."""

import collections
import datetime
import io
import os
import pickle
import pickletools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siglino_core import pickles
from siglino_core.pickles import plain, require_small

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text(max_size=4), v, max_size=4), max_leaves=20
)


class Runs:
    """Makes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


@given(VALUES, st.integers(0, 5))
def test_plain_values_come_back(value: Any, protocol: int) -> None:
    assert plain(pickle.dumps(value, protocol)) == value


def test_python_2_strings() -> None:
    assert plain(b"(dp0\nS'sent'\np1\nS'caf\\xe9'\np2\nsS'n'\nI7\nsVcaf\\u00e9\nL8L\ns.") == {
        "sent": "café",
        "n": 7,
        "café": 8,
    }
    assert plain(b"]U\x03a\xe9bq\x00aT\x02\x00\x00\x00\xc3\xa9a.") == ["aéb", "Ã©"]


def test_nothing_runs(tmp_path: Any) -> None:
    for protocol in range(6):
        data = pickle.dumps([Runs(str(tmp_path / f"made-{protocol}"))], protocol)
        with pytest.raises(pickle.UnpicklingError, match="holds more than plain values"):
            plain(data)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "value",
    [
        collections.OrderedDict(a=1),
        datetime.date(2020, 1, 1),
        1j,
        {1, 2},
        frozenset([1]),
        (1, 2),
        b"bytes",
        bytearray(b"x"),
        len,
        slice(3),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_what_is_not_plain_is_refused(value: Any, protocol: int) -> None:
    with pytest.raises(pickle.UnpicklingError):
        plain(pickle.dumps([value], protocol))


HOSTILE = {
    "GLOBAL": b"cos\nsystem\n.",
    "STACK_GLOBAL": b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
    "INST": b"(S'true'\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nS'true'\no.",
    "REDUCE": b"cos\nsystem\n(S'true'\ntR.",
    "BUILD": b"(dp0\n(dp1\nb.",
    "NEWOBJ": b"\x80\x02cos\nsystem\n)\x81.",
    "EXT1": b"\x80\x02\x82\x01.",
    "PERSID": b"Pthing\n.",
    "BINPERSID": b"S'thing'\nQ.",
    "BYTEARRAY8": b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b".",
    "LONG_BINPUT": b"]r\xff\xff\xff\x7f.",
    "PUT": b"(lp2147483647\n.",
    "NEXT_BUFFER": b"\x80\x05\x97.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_operations(name: str) -> None:
    with pytest.raises(pickle.UnpicklingError):
        plain(HOSTILE[name])


def test_every_operation_that_is_allowed_makes_plain_values() -> None:
    every = {code.name for code in pickletools.opcodes}
    named = {"GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "REDUCE", "BUILD", "NEWOBJ", "NEWOBJ_EX", "PERSID", "BINPERSID"}
    assert every > pickles._SAFE
    assert not pickles._SAFE & (named | {"EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER", "BYTEARRAY8"})


def test_the_unpickler_alone_refuses_too() -> None:
    for name in ("GLOBAL", "INST", "PERSID", "BINPERSID"):
        with pytest.raises(pickle.UnpicklingError):
            pickles._Unpickler(io.BytesIO(HOSTILE[name])).load()


@pytest.mark.parametrize("name", ["BYTEARRAY8", "LONG_BINPUT", "PUT"])
def test_claims_of_memory_are_refused(name: str) -> None:
    with pytest.raises((pickle.UnpicklingError, ValueError)):
        require_small(HOSTILE[name])
    require_small(pickle.dumps({"a": [1, "b", bytearray(b"c")]}, 4))


@given(st.binary(max_size=60))
def test_any_bytes_are_plain_or_refused(data: bytes) -> None:
    try:
        found = plain(data)
    except pickle.UnpicklingError:
        return
    assert type(found) in (dict, list, tuple, set, frozenset, str, bytes, bytearray, int, float, bool, type(None))


@pytest.mark.parametrize("data", [b"", b".", b"]", b"(lp0\n", b"I" + b"9" * 5000 + b"\n.", b"]]s.", b"}]}s."])
def test_what_is_damaged_is_one_error(data: bytes) -> None:
    with pytest.raises(pickle.UnpicklingError):
        plain(data)
