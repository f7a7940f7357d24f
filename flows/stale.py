"""Which finished stages of a run are stale: made from what is another artifact by now; and what makes them anew."""

from collections.abc import Mapping, Sequence

from siglino_core.encoders.spec import DINOTXT
from siglino_core.encoders.spec import STUDENT as OWN
from siglino_core.evaluation.network.identity import network_identity
from siglino_core.evaluation.results.rows import STUDENT
from siglino_core.foreign import word
from siglino_core.store import STAGES, Manifest
from siglino_core.store.names import command_of
from siglino_core.weights.source import recorded_identity

FOLDER = "student/"  # of the export, where its weights lie
MODELS = ("train", "export", "ground")  # stages that make one


def stale(manifests: Mapping[str, Manifest | None]) -> dict[str, list[str]]:
    """Of every stale stage the inputs that changed since: made anew, or stale themselves.

    Args:
        manifests: by stage, in the path's order; None: not finished.
    """
    digests: dict[str, str] = {}
    found: dict[str, list[str]] = {}
    for name, manifest in manifests.items():
        if manifest is None:
            continue
        moved = [i for i, digest in manifest.identity["inputs"].items() if digests.get(i, digest) != digest]
        if name == "evaluate" and _evaluated_another(manifest, manifests.get("export"), stale="export" in found):
            moved.append("export")
        if moved:
            found[name] = moved
        digests[name] = "of what changed since" if moved else manifest.digest
    return found


def warning(url: str, stage: str, found: Mapping[str, Sequence[str]]) -> str:
    """That a stale stage's results are of what is no more, and the commands that renew them.

    Args:
        url: the run's.
        found: as :func:`stale` tells it.
    """
    moved = found[stage]
    former = " and ".join(dict.fromkeys("model" if name in MODELS else name for name in moved))
    return (
        f"{url}/{stage} is stale: {', '.join(moved)} changed since, so that its results are of the former {former}. "
        f"`{_renewal(url, stage, found)}` makes it anew."
    )


def _renewal(url: str, stage: str, found: Mapping[str, Sequence[str]]) -> str:
    """A command for each kind of stages, from its first stale one; a redo makes anew what follows."""
    wanted = {stage}
    for name in reversed(STAGES):
        if name in wanted:
            wanted.update(found.get(name, ()))
    first: dict[str, str] = {}
    for name in STAGES:
        if name in wanted and name in found:
            first.setdefault(command_of(name), name)
    return " && ".join(f"siglino {command} {word(f'run={url}')} --redo {name}" for command, name in first.items())


def _evaluated_another(evaluation: Manifest, export: Manifest | None, *, stale: bool) -> bool:
    """Whether the student that was evaluated is not the one that is exported by now, or that one is stale.

    An evaluation knows networks by what they are, wherever they lie, so the run's own is found by its name. One with a
    head of dino.txt's beside it cannot be told by the export's records.
    """
    asked = next((m for m in evaluation.identity["config"].get("models", ()) if m["name"] == STUDENT), None)
    if asked is None or export is None:
        return False
    if stale or DINOTXT in asked["texts"].values():
        return stale
    sums = {name.removeprefix(FOLDER): entry[1] for name, entry in export.files.items() if name.startswith(FOLDER)}
    return asked["network"] != network_identity(OWN, recorded_identity(sums), embeds=False)
