"""Twelve steps of the trainer itself, bit for bit as recorded: a refactor changes none of its numbers or weights.

A deliberate change of the maths (a loss, the model, an optimiser, the balance of experts) does. Record then anew, with
a line in the changelog that says what changed:

    python -m tests.siglino_core.distillation.training.test_golden_curve

`run_rank` trains a tiny student on pictures of the tests' own, copying two teachers of random weights that run beside
it. All that shapes a step takes part: relations, registers, an anchor, two packs a step, flips, Muon and AdamW, clipped
gradients, warm-up and decay, averaged weights, the experts' balance; and an error after step 7, from which it goes on
at the checkpoint of step 5. It runs in a process of its own, on one thread, without oneDNN, and on code paths that all
x86 CPUs have (``PINS``).
"""

import hashlib
import json
import os
import platform
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

ROOT = Path(__file__).parents[4]
GOLDEN = ROOT / "tests" / "golden" / "loss_curve.json"
MODULE = "tests.siglino_core.distillation.training.test_golden_curve"
COMMAND = f"python -m {MODULE}"
STEPS, CHECKPOINT, ERROR = 12, 5, 7
LR = 3e-3
CLIP = 25.0  # some gradients are longer, and some are not
PINS = {
    "OMP_NUM_THREADS": "1",  # sums are split by thread
    "MKL_NUM_THREADS": "1",
    "MKL_CBWR": "COMPATIBLE",  # MKL's one code path for CPUs of all vendors
    "ATEN_CPU_CAPABILITY": "default",  # torch's own kernels without AVX2 and AVX-512
}
# Where the machine or torch is another: without one of the pins, numbers moved by 7e-5 of themselves at most.
RELATIVE, ABSOLUTE = 1e-4, 1e-6


def trained(folder: Path) -> dict[str, Any]:
    """Every number of every step of a training that an error cut in two, and its weights; and of one without error."""
    import torch

    from siglino_core.models import HeadConfig
    from tests.pipelines import distilling
    from tests.siglino_core.distillation.training import samples, trained
    from tests.siglino_core.models import tiny

    torch.use_deterministic_algorithms(True)
    torch.backends.mkldnn.set_flags(False)  # oneDNN cuts its products by the size of the CPU's caches
    heads = (HeadConfig(name="siglip2", dim=32, pooled=True), HeadConfig(name="dinov3", dim=32))
    begin = tiny.exported(folder / "begin", tiny.student(replace(distilling.STUDENT, teachers=heads), seed=1))
    anchor = tiny.exported(folder / "anchor", tiny.student(seed=9))
    shape, specs = distilling.student(folder), distilling.teachers(folder)
    changes: dict[str, Any] = {
        "train__checkpoint": begin,  # to a fresh student all images are alike: rounding would make their relations
        "train__pack__packs_per_step": 2,
        "train__loss__relation_beta": 0.3,
        "train__loss__register": 0.5,
        "train__loss__gram": 0.5,
        "train__loss__gram_checkpoint": anchor,
        "train__optim__lr": LR,
        "train__optim__steps": STEPS,
        "train__optim__warmup_steps": 3,
        "train__optim__final_lr_share": 0.1,
        "train__optim__weight_decay": 0.1,
        "train__optim__clip": CLIP,
        "train__optim__ema": 0.8,
        "train__balance": 2e-3,
        "train__flip": True,
        "train__checkpoint_steps": CHECKPOINT,
    }
    found = {}
    for name, stop in (("cut", ERROR), ("whole", None)):
        config = distilling.config(folder / name, specs, shape, **changes)
        run = trained.curated(folder / name, samples.pictures(24), config)
        if stop is not None:
            trained.train(config, run, stop=stop)
            assert [line["step"] for line in trained.curve(run)] == list(range(stop))
        trained.train(config, run)
        held = trained.last(run)
        found[name] = {
            "curve": [{k: float(v).hex() for k, v in line.items()} for line in trained.curve(run)],
            **{kind: _weights(held, f"{kind}.") for kind in ("model", "ema")},
        }
    return found


def _weights(held: dict[str, Any], prefix: str) -> dict[str, str]:
    """A hash of those under a prefix, and their norm for machines that round otherwise."""
    digest, square = hashlib.sha256(), 0.0
    for name, tensor in sorted((k, v) for k, v in held.items() if k.startswith(prefix)):
        digest.update(name.encode() + tensor.numpy().tobytes())
        square += float(tensor.double().square().sum())
    return {"sha256": digest.hexdigest(), "norm": (square**0.5).hex()}


def machine() -> dict[str, Any]:
    """What bits may depend on in spite of the pins: kernels that look at the CPU themselves, and the libraries."""
    import torch
    import transformers

    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    cpu = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = set(cpu.get("flags", "").split())
    return {
        "torch": torch.__version__.partition("+")[0],
        "transformers": transformers.__version__,
        "machine": platform.machine(),
        "vendor": cpu.get("vendor_id", platform.processor()),
        "flags": [name for name in ("avx2", "fma", "avx512f") if name in flags],
        "libc": " ".join(platform.libc_ver()),
    }


@cache
def run() -> dict[str, Any]:
    """Both trainings, in a process with the pins."""
    command = [sys.executable, "-m", MODULE, "--print"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | PINS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def column(curve: list[dict[str, str]], name: str) -> list[float]:
    return [float.fromhex(line[name]) for line in curve]


def assert_equal(wanted: str, ours: str, at: str, *, same_machine: bool) -> None:
    """Two numbers, bit for bit on the record's machine, else closely."""
    values = f"{at}: {float.fromhex(ours)!r}, recorded {float.fromhex(wanted)!r}"
    if same_machine:
        assert ours == wanted, f"{values}. The maths changed; if on purpose: {COMMAND}"
    else:
        close = pytest.approx(float.fromhex(wanted), rel=RELATIVE, abs=ABSOLUTE)
        assert float.fromhex(ours) == close, f"{values} (to {RELATIVE:g} alone, since the machine is another)"


def test_numbers_and_weights_are_those_recorded() -> None:
    golden, got = json.loads(GOLDEN.read_text()), run()
    assert golden["pins"] == PINS, f"recorded under other pins: {COMMAND}"
    same = golden["machine"] == got["machine"]
    wanted, ours = golden["cut"], got["cut"]
    assert len(wanted["curve"]) == len(ours["curve"]) == STEPS
    for step, (line, our_line) in enumerate(zip(wanted["curve"], ours["curve"], strict=True)):
        assert list(line) == list(our_line)
        for name in line:
            assert_equal(line[name], our_line[name], f"step {step}, {name}", same_machine=same)
    for kind in ("model", "ema"):
        assert_equal(wanted[kind]["norm"], ours[kind]["norm"], f"{kind}'s norm", same_machine=same)
        if same:
            assert ours[kind]["sha256"] == wanted[kind]["sha256"], f"{kind}: other weights; if on purpose: {COMMAND}"


def test_going_on_from_a_checkpoint_changes_nothing() -> None:
    assert run()["cut"] == run()["whole"]


def test_the_curve_shows_what_it_is_recorded_for() -> None:
    """Each term has a part in it, some gradients are clipped and some are not, and the averaged weights are others."""
    found = run()["cut"]
    curve = found["curve"]
    kinds = {name.partition(".")[2] for name in curve[0] if "." in name}
    assert {"summary", "patch", "register", "relation", "gram"} <= kinds
    norms = column(curve, "grad_norm")
    assert min(norms) < CLIP < max(norms), norms
    rates = column(curve, "lr")
    assert rates[0] < rates[1] < rates[2] == max(rates) == LR
    assert rates[-1] < 0.3 * rates[2]
    assert column(curve, "loss")[-1] < 0.9 * column(curve, "loss")[0]
    assert found["model"]["sha256"] != found["ema"]["sha256"]


if __name__ == "__main__":
    if "--print" in sys.argv:
        os.fsync = lambda _: None
        with TemporaryDirectory() as scratch:
            print(json.dumps({"machine": machine(), **trained(Path(scratch))}))
    else:
        recorded = run()
        GOLDEN.write_text(json.dumps({"pins": PINS, **{k: recorded[k] for k in ("machine", "cut")}}, indent=1) + "\n")
