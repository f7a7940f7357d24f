"""From a command to the work: few calls of our own, and no Prefect, no Ray and no server where nothing needs them."""

import json
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

from flows.cli import main
from siglino_core.curation.clustering import kmeans
from siglino_core.distillation.training import rank
from siglino_core.store import Run
from tests.pipelines import distilling
from tests.pipelines.curated import made as curated_run  # noqa: F401 - a fixture

PACKAGES = ("flows", "pipelines", "siglino_core")


def own_frames() -> list[str]:
    """The functions of ours that are under way, from the command down."""
    root = Path(__file__).parents[2]
    frames = traceback.extract_stack()[:-1]
    return [f.name for f in frames if f.filename.startswith(tuple(f"{root / package}/" for package in PACKAGES))]
