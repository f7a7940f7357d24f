"""Secrets in addresses and in the environment are in nothing that a command leaves or says."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.tiny import Tiny, one_message
from tests.prefect_server import Server, prefect_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FORMS = {
    "token": "https://PLANTEDtoken0001@host.example/pool",
    "password": "s3://keyid:PLANTEDpass0002@bucket/pool",
    "signs": "https://user:pa@ss/PLANTEDsigns0003@host.example/pool.tar",
    "presigned": "https://host.example/a.tar?X-Amz-Credential=AK%2Fx&X-Amz-Signature=PLANTEDsigned0004",
    "shared": "https://account.blob.example/c/a.tar?sv=2024&se=2030-01-01&sig=PLANTEDshared0005",
    "fragment": "https://host.example/pool#access_token=PLANTEDfragment0006",
}
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "PLANTEDkey0007",
    "AWS_SECRET_ACCESS_KEY": "PLANTEDkey0008",
    "HF_TOKEN": "PLANTEDkey0009",
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with prefect_server(tmp_path) as started:
        yield started


def test_no_secret_is_left_anywhere(tiny: Tiny, server: Server, tmp_path: Path) -> None:
    env = {"PREFECT_API_URL": server.url, **ENVIRONMENT}
    run = tmp_path / "run"
    with tiny.start("curate", *tiny.words(run), log=tmp_path / "good.log", env=env) as started:
        code, text = started.wait()
    assert code == 0, text
    for name, url in FORMS.items():
        for command, setting in (("curate", "source.uri"), ("plan", "embed.encoder"), ("inspect", "")):
            words = tiny.words(run, f"{setting}={url}") if setting else [url]
            done = tiny.siglino(command, *words, env=env)
            assert done.returncode in (1, 2), (name, command, done.stdout)
            one_message(done.stderr)
            (tmp_path / f"{name}-{command}.log").write_text(done.stdout + done.stderr)
    looked_at = 0
    for path in tmp_path.rglob("*"):
        if path.is_file():
            looked_at += 1
            found = path.read_bytes()
            assert b"PLANTED" not in found, f"{path}: {found[max(0, found.find(b'PLANTED') - 200) :][:300]!r}"
    assert looked_at > 50
    assert any(p.suffix == ".db" for p in tmp_path.rglob("*")), "Prefect's database is among them"
