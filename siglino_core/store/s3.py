"""S3 as fsspec has it, with time limits that are ours: every request is asked again for a while, and then given up.

s3fs asks again inside of botocore's asking again, up to 125 times 15 seconds. Here there is one loop around each
request and the body of its answer, with one end.
"""

import asyncio
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import aiohttp
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from fsspec.asyn import sync_wrapper
from fsspec.config import apply_config
from s3fs import S3FileSystem

from siglino_core.store import patience
from siglino_core.store.patience import UnansweredError

CONNECT, READ = 10.0, 30.0  # seconds: to connect; between two bytes of an answer
HASTE = 5.0  # the same for a request that is worth nothing later
BASE, MOST = 0.5, 20.0  # seconds between two attempts: at random up to BASE, doubled each time up to MOST
FAINT = 60.0  # seconds for which a store that was given up is not asked twice: cleaning up must not wait as long again
CODES = {
    "RequestTimeout", "SlowDown", "InternalError", "ServiceUnavailable", "Throttling", "ThrottlingException",
    "RequestLimitExceeded", "TooManyRequests", "BandwidthLimitExceeded", "OperationAborted",
    "ConditionalRequestConflict", "PriorRequestNotComplete", "XAmzContentSHA256Mismatch",
}  # fmt: skip
FAULTS = (
    boto.HTTPClientError,
    boto.ConnectionError,
    boto.IncompleteReadError,
    ResponseParserError,  # an answer that is cut short
    aiohttp.ClientError,
    TimeoutError,
    ConnectionError,
)


class Store(S3FileSystem):
    """s3fs, but for when a request is asked again. See :func:`open_s3`."""

    retries = 1  # of s3fs's own loops

    def __init__(self, *args: Any, hasty: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._hasty = hasty
        self._answered = False
        self._given_up: float | None = None  # when, if there was no good answer since

    async def _call_s3(self, method: str, *akwarglist: Any, **kwargs: Any) -> Any:
        store = f"s3://{kwargs.get('Bucket', '')}"
        with nullcontext() if self._hasty else _told_if_long(store):
            return await self._ask(store, method, *akwarglist, **kwargs)

    call_s3 = sync_wrapper(_call_s3)

    async def _ask(self, store: str, method: str, *akwarglist: Any, **kwargs: Any) -> Any:
        began, attempt = time.monotonic(), 1
        while True:
            try:
                answer = await super()._call_s3(method, *akwarglist, **kwargs)
                if method == "get_object":
                    answer["Body"] = await _whole(answer["Body"])
                self._answered, self._given_up = True, None
                return answer
            except Exception as e:
                self._answered = self._answered or bool(_code(e))
                if not may_pass(e):
                    if _code(e) not in ("PreconditionFailed", "NoSuchUpload"):
                        raise
                    return await self._done_before(e, store, method, kwargs)
                left = began + self._patience() - time.monotonic()
                if left <= 0:
                    self._given_up = time.monotonic()
                    tried = "once" if attempt == 1 else f"{attempt} times"
                    raise UnansweredError(
                        f"the store {store} cannot be reached: tried {tried} in {time.monotonic() - began:.0f} s, at "
                        f"last {type(e).__name__}: {e}"
                    ) from e
            await asyncio.sleep(min(left, random.uniform(0, min(MOST, BASE * 2 ** (attempt - 1)))))  # noqa: S311
            attempt += 1

    def _patience(self) -> float:
        if self._hasty or (self._given_up is not None and time.monotonic() - self._given_up < FAINT):
            return 0.0
        now = patience.patience()
        return now.known if self._answered else now.stranger

    async def _done_before(self, error: Exception, store: str, method: str, kwargs: dict[str, Any]) -> Any:
        """What an earlier attempt wrote whose answer was lost: it is ours, not another's. (aiohttp tries again, too.)

        Raises:
            UnansweredError: nobody can say.
        """
        if method == "put_object":
            there = await self._ask(store, "get_object", Bucket=kwargs["Bucket"], Key=kwargs["Key"])
            if await there["Body"].read() == bytes(kwargs["Body"]):
                return there
            raise error
        if method == "complete_multipart_upload":
            raise UnansweredError(
                f"the store {store} cannot be reached: whether {kwargs['Key']} was written is not known"
            )
        raise error


Store._cache = S3FileSystem._cache  # pyright: ignore[reportAttributeAccessIssue]  # who clears one means both


class _Body:
    """An answer's bytes, all of them here, as s3fs reads them."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    async def read(self, amount: int | None = None) -> bytes:
        start = self._at
        self._at = len(self._data) if amount is None or amount < 0 else min(len(self._data), start + amount)
        return self._data[start : self._at]

    def close(self) -> None:
        self._data = b""


async def _whole(body: Any) -> _Body:
    try:
        return _Body(await body.read())
    finally:
        body.close()


def open_s3(url: str, *, hasty: bool = False) -> tuple[Store, str]:
    """The file system of an S3 URL, and the URL's path in it.

    Time limits that the user's fsspec config has (``FSSPEC_S3_CONFIG_KWARGS``, or its files) stay.

    Args:
        hasty: ask once, for seconds.
    """
    theirs = apply_config(Store, {}).get("config_kwargs") or {}
    limits = {
        "connect_timeout": CONNECT,
        "read_timeout": READ,
        "retries": {"mode": "standard", "total_max_attempts": 1},
    }
    config = {**limits, **theirs}
    if hasty:
        config |= {"connect_timeout": HASTE, "read_timeout": HASTE}
    options = Store._get_kwargs_from_urls(url)
    fs = Store(use_listings_cache=False, config_kwargs=config, hasty=hasty, **options)
    return fs, str(Store._strip_protocol(url))


def may_pass(error: BaseException) -> bool:
    """Whether the same request may get another answer later: the network's faults, and the store's own (5xx)."""
    answer = _answer(error)
    if answer:
        status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return _code(error) in CODES or status in (408, 429) or (status >= 500 and status != 501)
    if isinstance(error, boto.SSLError) and "certificate" in str(error).lower():
        return False
    return isinstance(error, FAULTS)


def _answer(error: BaseException) -> dict[str, Any]:
    """What the store said, if the error is its answer."""
    for one in (error, error.__cause__):
        if isinstance(one, boto.ClientError):
            return dict(one.response)
    return {}


def _code(error: BaseException) -> str:
    return str(_answer(error).get("Error", {}).get("Code", ""))


@contextmanager
def _told_if_long(store: str) -> Iterator[None]:
    """While the block takes long in an event loop, people are told."""
    loop, began = asyncio.get_running_loop(), time.monotonic()

    def tell() -> None:
        nonlocal timer
        patience.tell(store, f"a request takes {time.monotonic() - began:.0f} s by now")
        timer = loop.call_later(patience.AGAIN, tell)

    timer = loop.call_later(patience.NOTICE, tell)
    try:
        yield
    finally:
        timer.cancel()
