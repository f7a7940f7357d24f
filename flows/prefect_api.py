"""Which Prefect API this machine is set up for, told without importing Prefect, which takes seconds."""

import os
import tomllib
from pathlib import Path
from typing import Any

NAME = "PREFECT_API_URL"


def api_url() -> str | None:
    """The URL of the API that Prefect would talk to; None where it would bring up one of its own.

    Looked for where Prefect looks, in its order: the environment, `.env`, `prefect.toml`, `pyproject.toml`, and the
    active profile.
    """
    return os.environ.get(NAME) or _dotenv() or _project() or _profile()


def _dotenv() -> str | None:
    if not Path(".env").is_file():
        return None
    pairs = (line.partition("=") for line in Path(".env").read_text(encoding="utf-8").splitlines())
    return next((value.strip().strip("'\"") for key, _, value in pairs if key.strip() == NAME), None) or None


def _project() -> str | None:
    tables = [_toml(Path("prefect.toml")), _toml(Path("pyproject.toml")).get("tool", {}).get("prefect", {})]
    return next((url for table in tables if (url := table.get("api", {}).get("url"))), None)


def _profile() -> str | None:
    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    file = _toml(Path(os.environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml").expanduser())
    name = os.environ.get("PREFECT_PROFILE") or file.get("active")
    return file.get("profiles", {}).get(name, {}).get(NAME)


def _toml(path: Path) -> dict[str, Any]:
    """A file's tables; none if it is not there or is no TOML: Prefect itself says what is wrong with it."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
