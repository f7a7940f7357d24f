"""Other people's pickles: looked at before anything of them is built, and read without building any object."""

import io
import pickle
import pickletools
from collections.abc import Iterator
from typing import Any

from siglino_core.foreign import printable

_CODES = {code.code: code for code in pickletools.opcodes}
_SAFE = {
    *("PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "NONE", "NEWTRUE", "NEWFALSE"),
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS"),
    *("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET"),
}


def require_small(data: bytes) -> None:
    """Refuse a pickle that claims more memory than its bytes can fill, before anything of it is built.

    Raises:
        UnpicklingError, ValueError: it does, or is none.
    """
    for name, argument in _operations(data):
        _require_small(name, argument, len(data))


def _operations(data: bytes) -> Iterator[tuple[str, Any]]:
    """Names and arguments, as `pickletools.genops`, which takes a text of Python 2 for damage unless it is ASCII."""
    stream = io.BytesIO(data)
    name = ""
    while name != "STOP":
        code = _CODES.get(stream.read(1).decode("latin-1"))
        if code is None:
            raise pickle.UnpicklingError(f"byte {stream.tell()} is no operation: it is cut off or damaged")
        name = code.name
        if name == "STRING":
            yield name, stream.readline()
        else:
            yield name, None if code.arg is None else code.arg.reader(stream)


def _require_small(name: str, argument: Any, size: int) -> None:
    if name == "BYTEARRAY8" or (name in ("LONG_BINPUT", "PUT") and not 0 <= (argument or 0) <= size):
        raise pickle.UnpicklingError(f"{name} asks for more than there is")


def plain(data: bytes) -> Any:
    """What a pickle of dicts, lists, strings, numbers, True, False and None holds; Python 2's strings are Latin-1.

    Any operation that could name, call or build something else is refused before the first is done. Parts may be the
    same object many times over: whoever walks through them bounds how much it looks at.

    Raises:
        UnpicklingError: it holds anything else, or is damaged.
    """
    try:
        for name, argument in _operations(data):
            if name not in _SAFE:
                raise pickle.UnpicklingError(f"it has the operation {name}: it holds more than plain values")
            _require_small(name, argument, len(data))
        return _Unpickler(io.BytesIO(data), encoding="latin-1").load()
    except pickle.UnpicklingError:
        raise
    except Exception as e:  # damaged bytes lead the unpickler to any error
        raise pickle.UnpicklingError(f"{type(e).__name__}: {printable(e, 200)}") from e


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it names {printable(module, 60)}.{printable(name, 60)}")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to something outside of it")
