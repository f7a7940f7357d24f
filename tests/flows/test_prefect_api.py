"""Whether Prefect has an API here is told as Prefect itself would tell it, without importing it."""

import subprocess
import sys
from pathlib import Path

import pytest

from flows.prefect_api import api_url

URL = "http://127.0.0.1:4200/api"


@pytest.fixture(autouse=True)
def _empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


PLACES = {
    ".env": f'OTHER=1\nPREFECT_API_URL="{URL}"\n',
    "prefect.toml": f'[api]\nurl = "{URL}"\n',
    "pyproject.toml": f'[tool.prefect.api]\nurl = "{URL}"\n',
    "home/profiles.toml": f'active = "here"\n[profiles.here]\nPREFECT_API_URL = "{URL}"\n',
}


def test_there_is_none() -> None:
    assert api_url() is None


@pytest.mark.parametrize("name", PLACES)
def test_it_is_found_where_prefect_finds_it(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(PLACES[name])
    assert api_url() == URL
    asked = "from prefect.settings import PREFECT_API_URL; print(PREFECT_API_URL.value())"
    theirs = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert theirs.stdout.strip() == URL


def test_the_environment_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "prefect.toml").write_text(PLACES["prefect.toml"])
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere/api")
    assert api_url() == "http://elsewhere/api"


def test_another_profile_and_a_broken_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home/profiles.toml").write_text(PLACES["home/profiles.toml"])
    monkeypatch.setenv("PREFECT_PROFILE", "ephemeral")
    assert api_url() is None
    (tmp_path / "prefect.toml").write_text("[api\n")
    assert api_url() is None
