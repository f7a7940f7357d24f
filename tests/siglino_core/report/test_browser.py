"""The page in a real browser: no errors, nothing wider than a phone, the map answers."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from siglino_core.report.curation import CurationReport, render
from tests.siglino_core.report import samples

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--allow-file-access-from-files",
    "--enable-logging=stderr",
    "--virtual-time-budget=8000",
]
# The page in a frame as wide as a phone; what is found is written into the outer page, which is dumped.
OUTER = """<!doctype html><iframe src="page.html" style="width:390px;height:800px;border:0"></iframe><pre></pre>
<script>onload = () => {
  const view = document.querySelector("iframe").contentWindow, page = view.document;
  const wide = [...page.body.querySelectorAll("*")].filter((e) => e.getBoundingClientRect().right > 391 &&
    !e.closest(".scroll, pre, svg, .skip, .sr, .tip")).map((e) => e.outerHTML.slice(0, 80));
  const map = page.querySelector("svg.map"), before = page.querySelector(".tip").hidden;
  const box = map.getBoundingClientRect(), data = JSON.parse(page.getElementById("map-data").textContent);
  const at = { clientX: box.left + data.x[0] / 1600 * box.width, clientY: box.top + data.y[0] / 1000 * box.height };
  map.dispatchEvent(new view.PointerEvent("pointermove", { bubbles: true, ...at }));
  const tip = page.querySelector(".tip"), said = tip.querySelector(".words").textContent, shown = !tip.hidden;
  page.querySelectorAll(".filter input").forEach((box) => box.click());
  map.dispatchEvent(new view.PointerEvent("pointermove", { bubbles: true, ...at }));
  const filtered = tip.hidden && [...page.querySelectorAll(".map path")].every((p) => p.style.display === "none");
  page.querySelector('[data-zoom="in"]').click();
  document.querySelector("pre").textContent = JSON.stringify({
    width: page.documentElement.scrollWidth, wide, before, shown, said, filtered, zoomed: map.getAttribute("viewBox"),
  });
};</script>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("report", [samples.small(), samples.hostile("unbroken" * 60)], ids=["small", "long words"])
def test_the_page_in_chromium(tmp_path: Path, report: CurationReport) -> None:
    (tmp_path / "page.html").write_text(render(report), encoding="utf-8")
    (tmp_path / "outer.html").write_text(OUTER, encoding="utf-8")
    assert CHROMIUM is not None
    done = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path}/profile", "--dump-dom", f"file://{tmp_path}/outer.html"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert console == []
    found = json.loads(html.unescape(re.findall(r"<pre>(.*?)</pre>", done.stdout, re.S)[0]))
    assert found["wide"] == []
    assert found["width"] <= 390
    assert found["before"]
    assert found["shown"]
    assert found["said"]
    assert found["filtered"]
    assert found["zoomed"] == "400 250 800 500"
