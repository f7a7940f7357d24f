"""Files: whole or absent, created once, and every failure a sentence with its mend."""

import errno
import json
import os
import pickle
import random
import resource
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from siglino_core.errors import DamagedError, StoreError
from siglino_core.store import Files
from siglino_core.store.files import UNFINISHED, is_local, reported
from siglino_core.store.sealed import sealed


@pytest.fixture(params=["local", "memory"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    return Files(str(tmp_path / "run") if request.param == "local" else f"memory://files-{os.getpid()}-{tmp_path.name}")


def operations(files: Files) -> None:
    """What a stage asks of storage, on any store."""
    assert files.sizes() == {}
    assert files.read_record("a.json") is None
    assert not files.exists("a.json")
    with pytest.raises(StoreError, match=r"a\.json: no such file"):
        files.read("a.json")
    files.put("a.json", sealed({"x": 1}))
    files.put("deep/er/b", b"12345")
    assert files.read_record("a.json") == {"x": 1}
    files.put("a.json", b'{"x": 22}')
    assert files.read("a.json") == b'{"x": 22}'
    assert files.exists("a.json")
    assert files.create("c", b"first")
    assert not files.create("c", b"second")
    assert files.read("c") == b"first"
    assert files.sizes() == {"a.json": 9, "c": 5, "deep/er/b": 5}
    assert files.sizes("deep") == {"deep/er/b": 5}
    assert files.sizes("dee") == files.sizes("nowhere") == {}
    assert files.read_many(["c", "deep/er/b"]) == {"c": b"first", "deep/er/b": b"12345"}
    assert files.read_many([]) == {}
    assert files.sub("deep").read("er/b") == b"12345"
    with files.open("deep/er/b") as f:
        f.seek(3)
        assert f.read() == b"45"
    assert pickle.loads(pickle.dumps(files)).sizes() == files.sizes()
    files.put("bad.json", b"{")
    with pytest.raises(DamagedError, match=r"bad\.json is damaged: it is no record\. `siglino verify"):
        files.read_record("bad.json")
    files.delete(["a.json", "not there", "bad.json", "c"])
    files.tidy()
    assert files.sizes() == {"deep/er/b": 5}


def test_operations(files: Files) -> None:
    operations(files)


@pytest.mark.slow
def test_operations_on_s3(s3: str, tmp_path: Path) -> None:
    operations(Files(f"{s3}/run"))
    path = tmp_path / "x"
    path.write_bytes(b"moved")
    Files(f"{s3}/run").put_file("moved", path)
    assert (Files(f"{s3}/run").read("moved"), path.exists()) == (b"moved", False)
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda i: Files(f"{s3}/run").create("race", b"%d" % i), range(8)))
    assert won.count(True) == 1
    assert Files(f"{s3}/run").read("race") == b"%d" % won.index(True)
    with pytest.raises(StoreError, match=r"s3://nobucket/x/a"):
        Files("s3://nobucket/x").put("a", b"")


def test_files_of_the_same_url_written_differently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)
    for url in ("run", "./run/", f"file://{tmp_path}/run", f"{tmp_path}/home/../run", "~/run"):
        Files(url).put("x", url.encode())
        assert Files(url).read("x") == url.encode()
        assert (tmp_path / "run/x").read_bytes() == url.encode()
        assert Files(url).sizes() == {"x": len(url)}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["home", "run"]
    assert is_local("a/b")
    assert is_local("file:///a")
    assert not is_local("s3://a")


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = Files(str(tmp_path))
    files.put("x", b"before")

    def fail(*_: Any) -> None:
        raise OSError(errno.EIO, "the disk died")

    for broken in ("replace", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, broken, fail)
            with pytest.raises(StoreError, match="the disk died"):
                files.put("x", b"after, and longer")
        assert files.read("x") == b"before"
        assert files.sizes() == {"x": 6}
    assert not list((tmp_path / UNFINISHED).glob("*"))


KILLED = """
import sys
from siglino_core.store import Files
files, size = Files(sys.argv[1]), int(sys.argv[2])
for i in range(200):
    files.put(f"put-{i % 7}", b"%d" % (i % 10) * size)
    files.create(f"created-{i}", b"%d" % (i % 10) * size)
    print(i, flush=True)
"""


def test_killed_at_any_moment_no_half_file_is_visible(tmp_path: Path) -> None:
    rng = random.Random(1)
    size = 1_000_000
    seen = 0
    for i in range(5):
        files = Files(str(tmp_path / str(i)))
        with subprocess.Popen([sys.executable, "-c", KILLED, files.url, str(size)], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            for _ in range(rng.randint(1, 3)):
                child.stdout.readline()
            time.sleep(rng.uniform(0.0, 0.03))
            child.send_signal(signal.SIGKILL)
        for name, length in files.sizes().items():
            data = files.read(name)
            assert len(data) == length == size
            assert len(set(data)) == 1
            seen += 1
        files.tidy()
        assert not (tmp_path / str(i) / UNFINISHED).exists()
    assert seen > 5


RACER = """
import sys, time
from siglino_core.store import Files
files, me = Files(sys.argv[1]), sys.argv[2].encode()
files._fs
print("ready", flush=True)
sys.stdin.readline()
print(sum(files.create(f"x{i}", me) << i for i in range(20)), flush=True)
"""


def test_exactly_one_of_eight_processes_creates_a_file(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RACER, str(tmp_path)]
    pipe = subprocess.PIPE
    children = [subprocess.Popen([*command, str(i)], stdin=pipe, stdout=pipe, text=True) for i in range(8)]
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    won = [int(child.communicate()[0]) for child in children]
    files = Files(str(tmp_path))
    for i in range(20):
        (winner,) = [n for n, mask in enumerate(won) if mask >> i & 1]
        assert files.read(f"x{i}") == str(winner).encode()


def test_a_full_disk(tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # Python ignores the signal, so write() fails
    try:
        with pytest.raises(StoreError, match=r"x: no space left\. Free some, or choose another run=URL"):
            files.put("x", bytes(20_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files.sizes() == {}
    for code in (errno.ENOSPC, errno.EDQUOT):
        with pytest.raises(StoreError, match="no space left"), reported("here"):
            raise OSError(code, os.strerror(code))


def named(name: str, module: str) -> Exception:
    return type(name, (Exception,), {"__module__": module})("what the client said")


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (PermissionError(13, "Permission denied"), "s3://b: access denied .* Check the credentials"),
        (FileNotFoundError(2, "gone"), "s3://b: no such file, folder or bucket"),
        (OSError(5, "Input/output error"), "s3://b: OSError: .*Input/output"),
        (named("NoCredentialsError", "botocore.exceptions"), "s3://b: no credentials found. Set AWS_ACCESS_KEY_ID"),
        (named("EndpointConnectionError", "botocore.exceptions"), "s3://b: the store cannot be reached .*client said"),
        (named("ClientError", "aiohttp.client"), "s3://b: the store cannot be reached"),
    ],
)
def test_failures_in_words(raised: Exception, said: str) -> None:
    with pytest.raises(StoreError, match=said) as caught, reported("s3://b"):
        raise raised
    assert caught.value.__cause__ is raised


def test_other_errors_pass() -> None:
    for error in (ValueError("ours"), StoreError("already said"), named("NotOurs", "somewhere")):
        with pytest.raises(type(error)) as caught, reported("s3://b"):
            raise error
        assert caught.value is error


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_rights(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="access denied"):
        Files(str(tmp_path / "run")).put("x", b"")


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "run").write_bytes(b"")
    with pytest.raises(StoreError, match=r"run/x"):
        Files(str(tmp_path / "run")).put("x", b"")


def test_an_unknown_protocol() -> None:
    with pytest.raises(StoreError, match=r"nope://x: .*nope"):
        Files("nope://x").sizes()


@pytest.mark.slow
def test_no_credentials_for_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in [k for k in os.environ if k.startswith("AWS_")]:
        monkeypatch.delenv(key)
    for key in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(key, os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(StoreError, match="no credentials found"):
        Files("s3://bucket/run").put("x", b"")
    s3fs.S3FileSystem.clear_instance_cache()


def test_tidy_takes_only_leftovers_and_empty_folders(tmp_path: Path) -> None:
    files = Files(str(tmp_path / "run"))
    files.tidy()  # nothing there
    files.put("a/b", b"kept")
    (tmp_path / "run" / UNFINISHED / "dead").mkdir(parents=True)
    (tmp_path / "run" / UNFINISHED / "dead/half").write_bytes(b"h")
    (tmp_path / "run/empty/er").mkdir(parents=True)
    assert files.sizes() == {"a/b": 4}
    files.tidy()
    assert sorted(str(p.relative_to(tmp_path / "run")) for p in (tmp_path / "run").rglob("*")) == ["a", "a/b"]
    assert json.dumps(files.sizes()) == '{"a/b": 4}'


def test_what_the_dead_left_is_dropped_and_nothing_of_the_living(tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    with files._scratch() as living:
        dead = living.with_name(f"{socket.gethostname()},{2**22 + 7},x")
        elsewhere = living.with_name(f"another-host,{2**22 + 7},x")
        for folder in (dead, elsewhere):
            folder.mkdir()
            (folder / "data").write_bytes(b"half")
        files.tidy_dead()
        assert sorted(p.name for p in (tmp_path / UNFINISHED).iterdir()) == sorted([living.name, elsewhere.name])
    elsewhere.joinpath("data").unlink()
    elsewhere.rmdir()
    files.tidy_dead()
    assert list(tmp_path.iterdir()) == []
