"""An S3 server of our own for the storage tests."""

import os
from collections.abc import Iterator

import pytest

from tests.s3_server import s3_server


@pytest.fixture(scope="package")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A bucket on a server of our own."""
    import s3fs

    with s3_server(tmp_path_factory.mktemp("s3")) as server, pytest.MonkeyPatch.context() as patch:
        nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
        for key, value in {**server.env, **nowhere}.items():
            patch.setenv(key, value)
        s3fs.S3FileSystem.clear_instance_cache()  # a client keeps the server that it first saw
        yield server.create_bucket("bucket")
        s3fs.S3FileSystem.clear_instance_cache()
