"""The bare deployment name: how it is resolved. With a real server: tests/e2e/test_deployment.py."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from prefect.client import orchestration
from prefect.client.schemas import filters

from flows import prefect_plugin

REPO = Path(__file__).resolve().parents[2]
REFUSAL = "Invalid deployment name format"
KINDS = ("async", "sync")


class Api:
    """The deployments a fake client sees, and the questions it was asked."""

    def __init__(self, *names: str, failure: Exception | None = None) -> None:
        self.deployments = [SimpleNamespace(flow=name.split("/")[0], name=name.split("/")[1]) for name in names]
        self.failure = failure
        self.questions = 0

    def by_name(self, name: str) -> Any:
        try:
            flow, deployment = name.split("/")
        except ValueError as error:
            raise ValueError(f"{REFUSAL}: {name}.") from error
        return next(d for d in self.deployments if (d.flow, d.name) == (flow, deployment))

    def matching(self, deployment_filter: Any, limit: int) -> list[Any]:
        self.questions += 1
        if self.failure:
            raise self.failure
        return [d for d in self.deployments if d.name in deployment_filter.name.any_][:limit]


def client(kind: str, api: Api) -> Any:
    """A client with Prefect's look-ups, taught bare names."""

    class Async:
        async def read_deployment_by_name(self, name: str) -> Any:
            return api.by_name(name)

        async def read_deployments(self, *, deployment_filter: Any, limit: int) -> list[Any]:
            return api.matching(deployment_filter, limit)

    class Sync:
        def read_deployment_by_name(self, name: str) -> Any:
            return api.by_name(name)

        def read_deployments(self, *, deployment_filter: Any, limit: int) -> list[Any]:
            return api.matching(deployment_filter, limit)

    if kind == "async":
        assert prefect_plugin.teach_bare_names(Async, prefect_plugin._async_lookup)
        return Async()
    assert prefect_plugin.teach_bare_names(Sync, prefect_plugin._sync_lookup)
    return Sync()


def look_up(client: Any, name: str) -> Any:
    found = client.read_deployment_by_name(name)
    return asyncio.run(found) if inspect.iscoroutine(found) else found


@pytest.mark.parametrize("kind", KINDS)
def test_a_bare_name_that_one_deployment_bears_is_that_deployment(kind: str) -> None:
    api = Api("curate/openlvd", "distil/openlvd-student")
    assert look_up(client(kind, api), "openlvd") is api.deployments[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("names", [(), ("other/thing",), ("a/openlvd", "b/openlvd"), ("a/openlvd",) * 3])
def test_a_bare_name_of_none_or_several_keeps_prefects_refusal(kind: str, names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=f"^{REFUSAL}: openlvd.$"):
        look_up(client(kind, Api(*names)), "openlvd")


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_with_a_slash_is_left_to_prefect(kind: str) -> None:
    api = Api("a/openlvd", "b/openlvd")
    taught = client(kind, api)
    assert look_up(taught, "b/openlvd") is api.deployments[1]
    with pytest.raises(ValueError, match=f"^{REFUSAL}: a/b/openlvd.$"):
        look_up(taught, "a/b/openlvd")
    assert api.questions == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_failure_of_our_own_question_keeps_prefects_refusal(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api("curate/openlvd", failure=TypeError("read_deployments() got an unexpected argument"))
    with pytest.raises(ValueError, match=REFUSAL):
        look_up(client(kind, api), "openlvd")
    monkeypatch.delattr(filters, "DeploymentFilterName")
    with pytest.raises(ValueError, match=REFUSAL):
        look_up(client(kind, Api("curate/openlvd")), "openlvd")


@pytest.mark.parametrize("kind", KINDS)
def test_an_api_out_of_reach_is_not_called_a_bad_name(kind: str) -> None:
    with pytest.raises(httpx.ConnectError, match="refused"):
        look_up(client(kind, Api(failure=httpx.ConnectError("refused"))), "openlvd")


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Prefect's own look-ups by client, put back in place for the test and whatever it does to them."""
    found = {}
    for name in ("PrefectClient", "SyncPrefectClient"):
        real = getattr(orchestration, name)
        found[name] = inspect.unwrap(real.read_deployment_by_name)
        monkeypatch.setattr(real, "read_deployment_by_name", found[name])
    return found


def test_both_clients_are_taught_once(plain: dict[str, Any]) -> None:
    prefect_plugin.setup_environment(ctx=None)
    taught = {name: getattr(orchestration, name).read_deployment_by_name for name in plain}
    for name, wrapper in taught.items():
        assert wrapper is not plain[name]
        assert wrapper.__wrapped__ is plain[name]
    prefect_plugin.setup_environment(ctx=None)
    assert taught == {name: getattr(orchestration, name).read_deployment_by_name for name in plain}


def test_a_look_up_of_another_shape_is_left_alone() -> None:
    class Renamed:
        async def read_deployment_by_name(self, flow: str, deployment: str) -> None: ...

    class NowSync:
        def read_deployment_by_name(self, name: str) -> None: ...

    for changed in (Renamed, NowSync):
        before = changed.read_deployment_by_name
        assert not prefect_plugin.teach_bare_names(changed, prefect_plugin._async_lookup)
        assert changed.read_deployment_by_name is before


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("missing", ["PrefectClient", "SyncPrefectClient"])
def test_a_prefect_without_a_client_or_its_look_up_does_not_break_the_hook(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orchestration, missing, type("Changed", (), {}))
    prefect_plugin.setup_environment(ctx=None)
    assert not hasattr(getattr(orchestration, missing), "read_deployment_by_name")
    monkeypatch.delattr(orchestration, missing)
    prefect_plugin.setup_environment(ctx=None)


def test_the_plugin_imports_light_and_without_prefects_plugin_api() -> None:
    code = (
        "import sys; sys.modules['prefect.plugins'] = None\n"
        "from flows import prefect_plugin\n"
        "prefect_plugin.setup_environment(ctx=None)\n"
        "heavy = {'ray', 'torch', 'hydra', 'faiss', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPO, check=True, timeout=120)
