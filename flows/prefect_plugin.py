"""Lets `prefect deployment run curate-openlvd` find a deployment by its bare name.

Prefect looks a deployment up as `<flow>/<deployment>` and refuses a name without the slash. This plugin, an
entry point of the group `prefect.plugins`, wraps that look-up in both of Prefect's clients: where Prefect
itself refuses a slash-less name, and exactly one deployment bears it, that deployment is the answer.

Prefect runs the hook when it is imported with `[plugins] enabled = true` (`prefect.toml`). The wrapper speaks
only after Prefect has refused, so whatever differs in another Prefect leaves Prefect's own answer.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

try:
    from prefect.plugins import register_hook
except Exception:  # a Prefect without this API: nothing registers, nothing breaks

    def register_hook(function: Any) -> Any:
        return function


_LOOKUP = "read_deployment_by_name"


@register_hook
def setup_environment(*, ctx: object) -> None:
    """Teach both clients the bare name; no environment is changed, hence no result (Prefect's hook)."""
    with suppress(Exception):
        from prefect.client import orchestration

        for client, wrap in (("PrefectClient", _async_lookup), ("SyncPrefectClient", _sync_lookup)):
            with suppress(Exception):
                teach_bare_names(getattr(orchestration, client), wrap)


def teach_bare_names(client: type, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> bool:
    """Wrap `client`'s look-up by name, once, and only where it has the shape we know; True if it is wrapped.

    `wrap` is for an async or a sync look-up; a client whose look-up is of the other kind is left alone.
    """
    original = getattr(client, _LOOKUP)
    if hasattr(original, "_bare_names"):
        return True
    known_shape = list(inspect.signature(original).parameters) == ["self", "name"]
    if not known_shape or inspect.iscoroutinefunction(original) != (wrap is _async_lookup):
        return False
    wrapper = wrap(original)
    wrapper._bare_names = True  # type: ignore[attr-defined]
    setattr(client, _LOOKUP, wrapper)
    return True


def _async_lookup(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def read_deployment_by_name(self: Any, name: str) -> Any:
        try:
            return await original(self, name)
        except ValueError:  # Prefect's refusal of a name that has not exactly one slash
            deployment = None
            with _own_failures_hidden():
                deployment = _only(await self.read_deployments(**_bearing(name)), name)
            if deployment is None:
                raise
            return deployment

    return read_deployment_by_name


def _sync_lookup(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def read_deployment_by_name(self: Any, name: str) -> Any:
        try:
            return original(self, name)
        except ValueError:
            deployment = None
            with _own_failures_hidden():
                deployment = _only(self.read_deployments(**_bearing(name)), name)
            if deployment is None:
                raise
            return deployment

    return read_deployment_by_name


@contextmanager
def _own_failures_hidden() -> Iterator[None]:
    """Hide what goes wrong in our question, so that Prefect's refusal stands.

    One thing is let through, as it is for a full name: an API that is out of reach or wants a login. To call
    the name invalid then would send the user the wrong way.
    """
    try:
        yield
    except Exception as error:
        out_of_reach = isinstance(error, getattr(sys.modules.get("httpx"), "TransportError", ()))
        status = getattr(getattr(error, "response", None), "status_code", None)
        if out_of_reach or status in (401, 403):
            raise error from None


def _bearing(name: str) -> dict[str, Any]:
    """What to ask the API: deployments of exactly this name, and no more than tell one from several.

    Raises LookupError on a name with a slash: a malformed full name is not a bare one.
    """
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName

    if "/" in name:
        raise LookupError(name)
    return {"deployment_filter": DeploymentFilter(name=DeploymentFilterName(any_=[name])), "limit": 2}


def _only(deployments: list[Any], name: str) -> Any | None:
    """The one deployment that bears `name`; None where none or several do."""
    named = [deployment for deployment in deployments if deployment.name == name]
    return named[0] if len(named) == len(deployments) == 1 else None
