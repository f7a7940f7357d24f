"""Addresses with secrets in them: none passes as a setting, none is shown, and honest ones pass."""

import re
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from siglino_core.config import Config, build
from siglino_core.config.credentials import redacted
from siglino_core.errors import ConfigError

FORMS = [
    "https://TOKENTOKEN@host/pool",
    "https://user:hunter2@host/pool",
    "s3://AKIAEXAMPLE:hunter2@bucket/pool",
    "s3://AKIA:hun/ter2@bucket/pool",
    "https://user:p@ss@host/pool",
    "https://bucket.s3.amazonaws.com/x.tar?X-Amz-Credential=AKIA%2F2&X-Amz-Signature=hunter2",
    "https://account.blob.core.windows.net/c/x.tar?sv=2024&sig=hunter2%3D",
    "https://storage.googleapis.com/b/x.tar?GoogleAccessId=me&Expires=1&Signature=hunter2",
    "https://host/x.tar?access_token=hunter2",
    "https://host/x.tar?aVeryLongValueThatIsNotNamed0123456789",
    "https://host/x.tar#access_token=hunter2",
    "gs://user:hunter2@bucket",
    "hdfs://user:hunter2@namenode:9000/pool",
    "https://user:what?hunter2@host/pool",
    "sftp://user:hunter2@host/pool",
]
HONEST = [
    "s3://bucket/pool",
    "s3://bucket/a@b/c:d",
    "https://host:8443/pool/x.parquet?download=true",
    "http://[::1]:9000/bucket",
    "gs://bucket/with spaces/and=signs",
    "hf://datasets/org/name@main/data",
    "file:///data/a@b#c",
    "/data/user:pass@word?sig=1#x",
    "pool@2x",
    "s3://bucket/pool?versionId=abc",
    "abfs://container@account.dfs.core.windows.net/pool",
    "sftp://me@host/pool",
]


@pytest.mark.parametrize("url", FORMS)
def test_secrets_are_refused_and_not_shown(url: str) -> None:
    for values in (
        {"source": {"uri": url}},
        {"run": url},
        {"embed": {"encoder": f"timm:{url}", "batch_size": "x"}},
        {"targets": {"teachers": ["lite", url]}},
        {"train": {"parts": [{"name": "a", "run": url}]}},
    ):
        with pytest.raises(ConfigError) as caught:
            build(Config, values)
        said = str(caught.value)
        assert "has a password, a key or a signature in it. Leave it out" in said
        for word in ("hunter2", "hun/ter2", "ter2", "TOKENTOKEN", "p@ss", "AKIA", "ThatIsNotNamed"):
            assert word not in said, url


@pytest.mark.parametrize("url", HONEST)
def test_honest_addresses_pass(url: str) -> None:
    assert redacted(url) == url
    assert build(Config, {"source": {"uri": url}}).source.uri == url


WORD = st.text(string.ascii_letters + string.digits, min_size=1, max_size=12)


@given(
    scheme=st.sampled_from(["https", "s3", "gs", "abfs", "hdfs"]),
    user=st.text(string.ascii_letters, max_size=8),
    password=st.text(string.printable, min_size=6, max_size=20).filter(lambda p: not re.search(r"\s", p)),
    host=WORD,
    path=WORD,
)
@example(scheme="https", user="", password="0]?000", host="0", path="0")
def test_whatever_the_password_is(scheme: str, user: str, password: str, host: str, path: str) -> None:
    """Before the host, with any signs in it; a slash needs the user's colon to be told from a path."""
    shown = redacted(f"{scheme}://{user}:x{password}@{host}/{path}")
    assert shown == f"{scheme}://***@{host}/{path}"


@given(before=WORD, name=st.sampled_from(["sig", "X-Amz-Signature", "api_key", "token", "Policy"]), value=WORD)
def test_in_the_middle_of_a_text(before: str, name: str, value: str) -> None:
    assert redacted(f"{before} https://h/x?a=1&{name}={value} failed") == f"{before} https://h/x?a=1&{name}=*** failed"


@pytest.mark.parametrize("text", ["s3:u:hunter2@b", "s3:/u:hunter2@b/x", "no such file s3:/u:hunter2@b/x here"])
def test_an_address_that_lacks_a_slash_hides_its_password(text: str) -> None:
    assert "hunter2" not in redacted(text)


@pytest.mark.parametrize("text", ["timm:hf-hub:org/model@v1", "dinov3:/a:b@c", "pool@2x:3"])
def test_what_looks_like_one_and_is_none(text: str) -> None:
    assert redacted(text) == text
