"""What a CUDA device adds to the stages around training: parity with the CPU, and rates.

    python -m tests.benchmarks.bench_gpu [--only NAME ...] [--repeats 5]

profile    a forward and backward pass of the release's student over 16,384 tokens: where the device's time goes
parity     a small student in bf16 and fp32 on the device against fp32 on the CPU, mixture and dense
inference  the student of the release in bf16 over packs of other lengths, by attention backend: graphs compiled
teachers   both teachers of published size over packs of 16,384 patches
encode     ViT-B/16 of timm at 224 and 256 pixels: eager and compiled
nearest    2^18 points against 20,000 to 500,000 centroids: equal ids for a sample, TFLOP/s

A case that fails says so, and the others go on. --tiny checks the logic on any device.
"""

import statistics
import time
import traceback
from collections.abc import Callable, Sequence

import numpy as np
import torch
from transformers import DINOv3ViTConfig, DINOv3ViTModel, Siglip2VisionConfig, Siglip2VisionModel

from siglino_core.models import PRESETS, SigLino
from siglino_core.models.attention import Backend
from tests.benchmarks.bench_student_gpu import PEAK, shapes
from tests.benchmarks.bench_train_gpu import DINOV3, SIGLIP2, SMALL_DINOV3, SMALL_SIGLIP2
from tests.benchmarks.record import Record, parser
from tests.siglino_core.models.tiny import DENSE, TINY, patches, student


class Cases:
    def __init__(self, record: Record, *, tiny: bool, repeats: int) -> None:
        self.record, self.tiny, self.repeats = record, tiny, repeats
        self.kind = "256" if tiny else "mixed"
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        name = torch.cuda.get_device_name() if self.device == "cuda" else "CPU"
        self.peak = next((flops for known, flops in PEAK.items() if known in name), None)
        print(f"torch {torch.__version__}, {name}", flush=True)

    def seconds(self, work: Callable[[], object], warm_up: int = 2) -> list[float]:
        taken = []
        for _ in range(warm_up + self.repeats):
            self._wait()
            began = time.perf_counter()
            work()
            self._wait()
            taken.append(time.perf_counter() - began)
        return taken[warm_up:]

    def _wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()

    def profile(self) -> None:
        from torch.profiler import ProfilerActivity, profile

        spec = PRESETS["siglino-nano" if self.tiny else "siglino-moe-0.3b"]
        model = SigLino(spec).to(self.device, torch.bfloat16).train()
        layout = model.layout(shapes(self.kind, 1200 if self.tiny else 16384))
        given = torch.randn(len(layout.patch_N), spec.patch_values, device=self.device)

        def step() -> None:
            out = model.features(given, layout)
            sum(x.float().square().mean() for x in (*out.patches.values(), *out.summaries.values())).backward()  # type: ignore[union-attr]

        taken = statistics.median(self.seconds(step))
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
            step()
            self._wait()
        averages = found.key_averages()
        kernels = [(e.self_device_time_total / 1e3, e.count, e.key) for e in averages if e.self_device_time_total]
        busy = sum(ms for ms, _, key in kernels)
        print(f"profile: {taken * 1e3:.0f} ms a pass, {busy:.0f} ms of kernels (operators and kernels both counted)")
        for ms, count, key in sorted(kernels, reverse=True)[:40]:
            print(f"  {ms:8.2f} ms {count:6d} x {key[:110]}", flush=True)

    @torch.no_grad()
    def parity(self) -> None:
        sizes = [(16, 16), (3, 7), (24, 12), (1, 1), (16, 16), (16, 16)]
        for name, config in (("mixture", TINY), ("dense", DENSE)):
            on_cpu = student(config)
            given = torch.cat(patches(config, sizes))
            wanted = on_cpu.features(given, on_cpu.layout(sizes))
            for dtype in (torch.float32, torch.bfloat16):
                model = student(config).to(self.device, dtype)
                found = model.features(given.to(self.device), model.layout(sizes, 1200))
                for what in ("patches", "summaries"):
                    errors = {
                        k: float((a.float().cpu() - getattr(wanted, what)[k]).norm() / getattr(wanted, what)[k].norm())
                        for k, a in getattr(found, what).items()
                    }
                    words = ", ".join(f"{k} {e:.2e}" for k, e in errors.items())
                    print(f"parity, {name}, {str(dtype)[6:]}, {what}, relative error: {words}", flush=True)

    @torch.no_grad()
    def inference(self) -> None:
        spec = PRESETS["siglino-nano" if self.tiny else "siglino-moe-0.3b"]
        backends: tuple[Backend, ...] = ("flash", "varlen", "loop") if self.device == "cuda" else ("loop",)
        packs = [shapes(self.kind, n) for n in ((900, 1200) if self.tiny else range(8192, 16384, 1024))]
        for backend in backends:
            torch._dynamo.reset()
            torch._dynamo.utils.counters.clear()
            model = SigLino(spec, backend).to(self.device, torch.bfloat16).eval()
            tokens, began = 0, time.perf_counter()
            rates = []
            for images in packs:
                layout = model.layout(images)
                given = torch.randn(len(layout.patch_N), spec.patch_values, device=self.device)
                taken = self.seconds(lambda m=model, g=given, a=layout: m.features(g, a), 1)  # type: ignore[misc]
                tokens = layout.segments.used
                rates.append(tokens / statistics.median(taken))
            graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
            print(
                f"inference, {backend}: {statistics.median(rates):,.0f} tokens/s over packs of {len(packs)} lengths "
                f"({min(rates):,.0f} to {max(rates):,.0f}), {graphs} graphs, {time.perf_counter() - began:.1f} s",
                flush=True,
            )

    def teachers(self) -> None:
        from siglino_core.teachers.dinov3 import PackedDinoV3
        from siglino_core.teachers.siglip2 import PackedSigLip2

        siglip2, dinov3 = (SMALL_SIGLIP2, SMALL_DINOV3) if self.tiny else (SIGLIP2, DINOV3)
        with torch.device(self.device):
            text = Siglip2VisionModel(Siglip2VisionConfig(**siglip2, num_patches=256, patch_size=16)).bfloat16()
            dense = DINOv3ViTModel(DINOv3ViTConfig(**dinov3, num_register_tokens=4, patch_size=16)).bfloat16()
        packs = [shapes(self.kind, n) for n in ((900,) if self.tiny else (15000, 15500, 16000, 16384))]
        for teacher in (PackedSigLip2(text, "drawn"), PackedDinoV3(dense, "drawn")):
            rates, shares = [], []
            for images in packs:
                n = sum(h * w for h, w in images)
                given = torch.randn(n, 768, device=self.device)
                taken = statistics.median(self.seconds(lambda t=teacher, g=given, s=images: t(g, s)))  # type: ignore[misc]
                rates.append(n / taken)
                shares.append(sum(teacher.card.image_flops(256 * h * w) for h, w in images) / taken)
            share = f", {statistics.median(shares) / self.peak:.1%} of peak" if self.peak else ""
            print(f"teachers, {teacher.card.name}: {statistics.median(rates):,.0f} patches/s{share}", flush=True)

    def encode(self) -> None:
        import timm

        from siglino_core.encoders.card import Card
        from siglino_core.encoders.encoder import Encoder

        for size in (32,) if self.tiny else (224, 256):
            name = "test_vit" if self.tiny else "vit_base_patch16_224"
            net = timm.create_model(name, num_classes=0, img_size=size)
            card, half = Card(name="drawn", dim=net.num_features, identity="drawn"), (0.5,) * 3
            encoder = Encoder(net, card, mean=half, std=half, device=self.device, precision="bf16")
            batch = np.random.default_rng(0).integers(0, 256, (4 if self.tiny else 512, size, size, 3), np.uint8)
            on_device = torch.from_numpy(batch).to(self.device).permute(0, 3, 1, 2).float()
            eager = self.seconds(lambda e=encoder, b=batch: e.encode(b))  # type: ignore[misc]
            with torch.inference_mode():
                alone = self.seconds(lambda e=encoder, x=on_device: e.features(e.normal(x)))  # type: ignore[misc]
            print(
                f"encode, ViT-B at {size}: {len(batch) / statistics.median(eager):,.0f} images/s from numpy, "
                f"{len(batch) / statistics.median(alone):,.0f} of the network alone"
            )
            ratios = [a / b for a, b in zip(alone, eager, strict=True)]
            self.record.ratio(f"images a second from numpy, {size} px", "the network alone", ratios, "higher")

    def nearest(self) -> None:
        from siglino_core.curation.clustering.assign import nearest

        rng = np.random.default_rng(0)
        points = rng.standard_normal((1 << (10 if self.tiny else 18), 768 if not self.tiny else 8), np.float32)
        points = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float16)
        for k in (50,) if self.tiny else (20_000, 50_000, 500_000):
            centroids = torch.randn(k, points.shape[1])
            centroids /= centroids.norm(dim=1, keepdim=True)
            there = centroids.to(self.device)
            n = len(points) if k < 100_000 else len(points) // 8
            taken = statistics.median(self.seconds(lambda n=n, c=there: nearest(points[:n], c), 1))  # type: ignore[misc]
            ids, _ = nearest(points[:64], centroids)
            found, _ = nearest(points[:64], there)
            print(
                f"nearest, {k:,} centroids: {2 * n * k * points.shape[1] / taken / 1e12:.1f} TFLOP/s, "
                f"{int((ids == found).sum())} of {len(ids)} ids as on the CPU",
                flush=True,
            )


NAMES = ("profile", "parity", "inference", "teachers", "encode", "nearest")


def main(words: Sequence[str] | None = None) -> None:
    given = parser(__doc__, repeats=5)
    given.add_argument("--only", nargs="*", choices=NAMES, default=list(NAMES))
    a = given.parse_args(words)
    if not torch.cuda.is_available() and not a.tiny:
        print("skipped: no CUDA device (--tiny checks the logic on a CPU)")
        return
    cases = Cases(Record.of(__file__, a), tiny=a.tiny, repeats=1 if a.tiny else a.repeats)
    for name in a.only:
        try:
            getattr(cases, name)()
        except Exception:
            print(f"{name} failed:\n{traceback.format_exc(limit=4)}", flush=True)


if __name__ == "__main__":
    main()
