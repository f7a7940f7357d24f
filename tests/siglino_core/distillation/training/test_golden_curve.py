"""The losses of twelve training steps of a tiny student, bit for bit as recorded: a refactor changes none.

A deliberate change of the maths (a loss, the model, an optimiser, the balance of experts) does. Record then anew, with
a line in the changelog that says what changed:

    python -m tests.siglino_core.distillation.training.test_golden_curve

The features are synthetic: random numbers from a seeded generator. The training runs in a process of its own, on one
thread, without oneDNN, and on code paths that all x86 CPUs have (``PINS``).

B images, N patches of all images, R registers, D channels.
"""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "loss_curve.json"
COMMAND = "python -m tests.siglino_core.distillation.training.test_golden_curve"
STEPS = 12
SHAPES = [(4, 4), (3, 5), (3, 5), (2, 7), (6, 3), (4, 4), (1, 9), (5, 5)]
PINS = {
    "OMP_NUM_THREADS": "1",  # sums are split by thread
    "MKL_NUM_THREADS": "1",
    "MKL_CBWR": "COMPATIBLE",  # MKL's one code path for CPUs of all vendors
    "ATEN_CPU_CAPABILITY": "default",  # torch's own kernels without AVX2 and AVX-512
}
# Where the machine or torch is another: without one of the pins, terms moved by 5e-5 of themselves at most.
RELATIVE, ABSOLUTE = 1e-4, 1e-6


def curve() -> list[dict[str, float]]:
    """Every loss of every step, before that step."""
    import torch

    from siglino_core.distillation.optim import OptimConfig, build, schedules
    from siglino_core.distillation.targets.phi_s import PhiS
    from siglino_core.distillation.training import losses
    from siglino_core.models.routing import rebalance
    from tests.siglino_core.models.tiny import TEACHERS, TINY, patches, student

    torch.use_deterministic_algorithms(True)
    torch.backends.mkldnn.set_flags(False)  # oneDNN cuts its products by the size of the CPU's caches
    model = student(seed=1).train()
    layout = model.layout(SHAPES)
    patches_NV = torch.cat(patches(TINY, SHAPES, seed=2))
    draw = torch.Generator().manual_seed(3)
    images, counts = len(SHAPES), layout.patches
    wanted = {}
    for t in TEACHERS:
        summary_BD = 3 * torch.randn(images, t.dim, generator=draw)
        summary_BD[-1] *= 4  # far from the others, so that the median distance is not near the mean one
        patch_ND = 2 * torch.randn(sum(counts), t.dim, generator=draw) + 1
        register_BRD = torch.randn(images, TINY.registers, t.dim, generator=draw)
        phis = PhiS.fit(summary_BD).phi, PhiS.fit(patch_ND).phi
        wanted[t.name] = summary_BD, patch_ND, register_BRD, phis
    config = OptimConfig(lr=5e-3, steps=STEPS, warmup_steps=2)
    optimizers = build(model, config)
    clocks = schedules(optimizers, config)
    recorded = []
    for _ in range(STEPS):
        out = model(patches_NV, layout)
        terms = {}
        for name, (summary_BD, patch_ND, register_BRD, (phi_summary, phi_patch)) in wanted.items():
            ours_BD, ours_ND = out.summaries[name], out.patches[name]
            terms[f"{name} summary"] = losses.summary_loss(ours_BD, summary_BD, phi=phi_summary)
            terms[f"{name} patch"] = losses.patch_loss(ours_ND, patch_ND, counts, phi=phi_patch)
            terms[f"{name} relation"] = losses.relation_loss(ours_BD, summary_BD, "arkd")
            if name == "dinov3":
                terms[f"{name} register"] = losses.register_loss(out.registers[name], register_BRD)
                terms[f"{name} gram"] = losses.gram_loss(ours_ND, patch_ND, counts)
        torch.stack(list(terms.values())).sum().backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        for optimizer, clock in zip(optimizers, clocks, strict=True):
            optimizer.step()
            optimizer.zero_grad()
            clock.step()
        rebalance(model)
        recorded.append({name: term.item() for name, term in terms.items()} | {"gradient norm": norm.item()})
    return recorded


def machine() -> dict[str, Any]:
    """What bits may depend on in spite of the pins: kernels that look at the CPU themselves, and the C library's."""
    import torch

    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    cpu = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = set(cpu.get("flags", "").split())
    return {
        "torch": torch.__version__.partition("+")[0],
        "machine": platform.machine(),
        "vendor": cpu.get("vendor_id", platform.processor()),
        "flags": [name for name in ("avx2", "fma", "avx512f") if name in flags],
        "libc": " ".join(platform.libc_ver()),
    }


def run() -> dict[str, Any]:
    """The curve, trained in a process with the pins."""
    command = [sys.executable, "-m", "tests.siglino_core.distillation.training.test_golden_curve", "--print"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | PINS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_losses_are_those_recorded() -> None:
    golden, got = json.loads(GOLDEN.read_text()), run()
    same = golden["machine"] == got["machine"]
    assert golden["pins"] == PINS, f"recorded under other pins: {COMMAND}"
    assert len(golden["curve"]) == len(got["curve"]) == STEPS
    for step, (wanted, ours) in enumerate(zip(golden["curve"], got["curve"], strict=True)):
        assert list(wanted) == list(ours)
        for name in wanted:
            at = f"step {step}, {name}: {float.fromhex(ours[name])!r}, recorded {float.fromhex(wanted[name])!r}"
            if same:
                assert ours[name] == wanted[name], f"{at}. The maths changed; if on purpose: {COMMAND}"
            else:
                close = pytest.approx(float.fromhex(wanted[name]), rel=RELATIVE, abs=ABSOLUTE)
                where = f"to {RELATIVE:g} alone, since {got['machine']} is not the record's {golden['machine']}"
                assert float.fromhex(ours[name]) == close, f"{at} ({where})"


if __name__ == "__main__":
    if "--print" in sys.argv:
        hexed = [{name: loss.hex() for name, loss in terms.items()} for terms in curve()]
        print(json.dumps({"machine": machine(), "curve": hexed}))
    else:
        GOLDEN.write_text(json.dumps({"pins": PINS} | run(), indent=1) + "\n")
