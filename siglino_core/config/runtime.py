"""Where the work runs."""

from dataclasses import dataclass
from enum import StrEnum

from siglino_core.config.settings import setting


class Runner(StrEnum):
    RAY = "ray"
    LOCAL = "local"


@dataclass(frozen=True, kw_only=True)
class RuntimeConfig:
    """Where the work runs; nothing here changes a byte of the artifacts."""

    runner: Runner = setting(Runner.RAY, "ray, or local: everything in one process, for small pools", shapes=False)
    address: str = setting(
        "local",
        "which Ray: local (one of its own), auto (the cluster of this machine), or ray://host:10001",
        shapes=False,
    )
    workers: int = setting(0, "parallel workers; 0: one per CPU, or per GPU", ge=0, shapes=False)
    cpus: int = setting(0, "CPUs that a local Ray may use; 0: all", ge=0, shapes=False)
    device: str = setting("auto", "auto, cpu, cuda or mps", shapes=False)
    check_inputs: float = setting(
        1.0,
        "share of the files that a stage is about to read whose SHA-256 is checked first, once an invocation; 0: none",
        ge=0,
        le=1,
        shapes=False,
    )
