"""A small curated run made by the real stages, and small teachers: random weights, as transformers writes them."""

import dataclasses
from pathlib import Path
from typing import Any

import torch
from transformers import DINOv3ViTConfig, DINOv3ViTModel, Siglip2VisionConfig, Siglip2VisionModel

from pipelines import cluster, embed, sample, source
from siglino_core.config import (
    ClusterConfig,
    Config,
    Runner,
    RuntimeConfig,
    SampleConfig,
    Shards,
    SourceConfig,
    TargetsConfig,
)
from siglino_core.distillation.curated.index import ImageIndex
from siglino_core.distillation.targets.stored import StoredTargets
from siglino_core.models.resolution import Resolution
from siglino_core.networks import describe
from siglino_core.store import Run
from tests import pools
from tests.pictures import picture

KEPT = 44
SIZES = ((48, 32), (32, 48), (100, 60), (64, 64), (90, 33), (20, 40))


def curated(folder: Path, shards: Shards = Shards.PARQUET) -> Run:
    """60 images of six sizes in four shards, of which 44 are kept."""
    images = [picture(i, size=SIZES[i % len(SIZES)]) for i in range(60)]
    pools.parquet_file(folder / "pool.parquet", {"image": images})
    config = Config(
        source=SourceConfig(uri=str(folder / "pool.parquet"), rows_per_shard=16),
        cluster=ClusterConfig(num_clusters=[6, 2]),
        sample=SampleConfig(target_size=KEPT, near_duplicate=1.0, trim=0.0, shards=shards),
        runtime=RuntimeConfig(runner=Runner.LOCAL),
    )
    run = Run(str(folder / "run"))
    for stage in (source, embed, cluster, sample):
        stage.run(config, run)
    return run


def teachers(folder: Path, **siglip2_form: int) -> list[str]:
    """The paper's two in miniature, 32 and 24 wide."""
    small = {"intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "initializer_range": 0.2}
    dinov3 = DINOv3ViTModel(DINOv3ViTConfig(hidden_size=32, num_register_tokens=4, **small))
    form = {**small, "hidden_size": 24, "num_patches": 16, **siglip2_form}
    siglip2 = Siglip2VisionModel(Siglip2VisionConfig(**form))
    torch.manual_seed(0)  # here: what transformers draws first is another's choice in another version
    for model in (dinov3, siglip2):
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                torch.nn.init.normal_(weight, std=0.2)
            elif "bias" in name:
                torch.nn.init.normal_(weight, std=0.5)
    dinov3.save_pretrained(folder / "dinov3")
    siglip2.save_pretrained(folder / "siglip2")
    return [f"siglip2:{folder / 'siglip2'}", f"dinov3:{folder / 'dinov3'}"]


def config(specs: list[str], **targets: object) -> Config:
    """One process; grids of 4 to 16 patches, four images or more in a pack."""
    settings = {"min_pixels": 32**2, "max_pixels": 64**2, "statistics_images": 30, "capacity": 64, **targets}
    return Config(
        targets=dataclasses.replace(TargetsConfig(teachers=specs), **settings),  # type: ignore[arg-type]
        runtime=RuntimeConfig(runner=Runner.LOCAL, device="cpu"),
    )


def opened(run: Run, cfg: Config, **change: Any) -> StoredTargets:
    """The targets of a run, as training opens them."""
    sample = run.stage("sample")
    asked: dict[str, Any] = {
        "sample_digest": sample.require().digest,
        "cards": [describe(s) for s in cfg.targets.teachers],
        "resolution": Resolution(min_pixels=cfg.targets.min_pixels, max_pixels=cfg.targets.max_pixels),
    }
    return StoredTargets.open(run.stage("targets"), ImageIndex.load(sample), **{**asked, **change})
