"""The dataset card of the curated training shards: Markdown with YAML front matter, from plain data."""

import json
import re

from siglino_core.config import Config, Pick, Quota, Seeding, Shards
from siglino_core.report.headline import headline
from siglino_core.report.learning import how, sentence
from siglino_core.report.model import Balance, CurationReport, Interval, Learning, Metric
from siglino_core.report.numbers import decimals, number, percent
from siglino_core.report.opening import TABLES, front_matter, image_columns, opened
from siglino_core.report.words import block, clean, reason_name

SIZES = ((3, "1K"), (4, "10K"), (5, "100K"), (6, "1M"), (7, "10M"), (8, "100M"), (9, "1B"), (10, "10B"), (11, "100B"))
UNKNOWN_LICENCE = (
    "The licence of the images is not known. They come from the user's own pool, which the software reads but cannot "
    "judge: whoever shares this set must check the rights to every source first. Captions and labels have the pool's "
    "licence too."
)
SEEDINGS = {
    Seeding.RANDOM: "at random",
    Seeding.KMEANS_PP: "by k-means++",
    Seeding.D2_ROUNDS: "in rounds that double, by squared distance",
}
QUOTAS = {
    Quota.GROUPED: "shares in proportion to the images left in a cluster, each counted as often as it has "
    "near-duplicates, to the power {copies:g}; with several levels of clusters, those of level 2 share by their count "
    "to the power {power:g}, and so do those of level 1 inside them; a cluster that stands for fewer than {support} "
    "images gets no more than its share of the pool",
    Quota.GLOBAL: "one threshold for the images of all clusters",
    Quota.HIERARCHICAL: "shares from the top level down (a cluster's grows as its size to the power {power:g}; one of "
    "fewer than {support} images gets no more than its share of the pool)",
}
PICKS = {
    Pick.RANDOM: "members are drawn at random",
    Pick.CLOSEST: "those closest to its centroid are kept",
    Pick.COVERAGE: "those farthest from one another are kept first",
    Pick.HERDING: "those are kept first that together are spread as all its members are (kernel herding)",
    Pick.FACILITY: "those that represent its other members best are kept first (facility gain; who is represented "
    "counts as often as it has near-duplicates, to the power {copies:g})",
}
AGAIN = (
    "Save these settings of all stages as `again.yaml`, and say `siglino curate experiment=again.yaml run=FOLDER` with "
    "another folder:"
)
COMMAND = "It was last asked for by this command, which takes from its run what it does not say itself:"
SAME_DIGESTS = "The same pool, config, seed, software and kind of device give the same digests:"


def size_category(images: int) -> str:
    """The Hugging Face name of a size: n<1K, 1K<n<10K, ..., n>1T."""
    previous = ""
    for power, name in (*SIZES, (12, "1T")):
        if images < 10**power:
            return f"{previous}<n<{name}" if previous else f"n<{name}"
        previous = name
    return "n>1T"


def dataset_card(
    report: CurationReport, config: Config, *, licence: str = "", title: str = "", column: str = "bytes"
) -> str:
    """The card.

    Args:
        report: the same data as the page's; its images aren't used.
        config: what the run was made with.
        licence: a Hugging Face licence id, if whoever owns the pool gives one.
        title: a name for people; the run's otherwise.
        column: of the images, as `datasets` names it: ``bytes`` in Parquet, in tars their suffix.
    """
    name = clean(title or report.run_name, 80) or "curated images"
    parts = [
        _front_matter(report, config, licence, name, column),
        f"# {plain(name)}",
        plain(headline(report).sentence, 600),
        "## What it is\n\n" + _what(report),
        "## Licence\n\n" + (f"`{code(licence)}`, as given by whoever made this set." if licence else UNKNOWN_LICENCE),
        "## How it was made\n\n" + _recipe(report, config),
        "## Balance\n\n" + (_balance(report.balance) if report.balance else "Not measured against a baseline."),
        *(["## What it teaches\n\n" + _learning(report.learning)] if report.learning else []),
        "## How to open it\n\n" + _opening(config.sample.shards, column),
        "## Columns\n\n" + _columns(config, column),
        "## Known limits\n\n" + _limits(report),
        "## How to make it again\n\n" + _again(report),
    ]
    return "\n\n".join(parts) + "\n"


def plain(text: object, limit: int = 120) -> str:
    """Other people's text in Markdown: one line without markup, links or HTML."""
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", clean(text, limit).replace("&", "&amp;").replace("<", "&lt;"))


def code(text: object, limit: int = 300) -> str:
    """Text for a code span, without anything that would end it or a table's cell."""
    return clean(text, limit).replace("`", "'").replace("|", "¦") or "–"


def fenced(text: str, language: str) -> str:
    """A code block whose fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def table(head: list[str], rows: list[list[str]], left: int = 1) -> str:
    """A Markdown table; all but the first ``left`` columns are numbers."""
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows))


def _front_matter(report: CurationReport, config: Config, licence: str, name: str, column: str) -> str:
    tags = ["siglino", "image", "curated", "deduplicated", config.sample.shards.value]
    lines = [
        f"pretty_name: {json.dumps(name, ensure_ascii=False)}",
        f"license: {json.dumps(clean(licence, 60), ensure_ascii=False) if licence else 'unknown'}",
        f"size_categories:\n- {json.dumps(size_category(report.funnel.kept))}",
        "task_categories:\n- image-feature-extraction",
        "tags:\n" + "\n".join(f"- {t}" for t in tags),
        *front_matter(config.sample.shards, len(config.cluster.num_clusters), column),
    ]
    return "---\n" + "\n".join(lines) + "\n---"


def _what(report: CurationReport) -> str:
    f = report.funnel
    return (
        f"{f.kept:,} images chosen out of a pool of {f.pool:,} by hierarchical clustering and balanced sampling, "
        "for training vision models. Every row leads back to its source file, and the run's `sample` table says of "
        f"every image of the pool why it was kept or dropped. Made by run `{code(report.run_name)}` "
        f"(experiment `{code(report.experiment)}`, {plain(report.date)})."
    )


def _recipe(report: CurationReport, config: Config) -> str:
    c, s = config.cluster, config.sample
    levels = ", ".join(f"{k:,}" for k in c.num_clusters)
    iterations = f"{c.iterations} Lloyd iterations a level" if c.iterations else "no Lloyd iterations"
    again = f", {c.resampling} resamplings" if c.resampling else ""
    near = f"of two images closer than cosine {s.near_duplicate:g}, one stays" if s.near_duplicate < 1 else "all stay"
    trim = f"the {s.trim:.3g} of the images that are farthest from their neighbours are left out" if s.trim else "kept"
    quota = QUOTAS[s.quota].format(power=s.quota_power, support=s.min_support, copies=s.duplicate_power)
    pick = PICKS[s.pick].format(copies=s.duplicate_power)
    if s.pick is Pick.FACILITY and s.quota is Quota.GLOBAL:
        pick += f", divided by the cluster's size to the power {s.size_penalty:g}"
    steps = [
        "Exact duplicates: the same bytes count once.",
        f"Embedding: `{code(config.embed.encoder)}`{', centred on the mean of the pool' if c.center else ''}.",
        f"Clusters: {levels} (finest level first), seeded {SEEDINGS[c.seeding]}, {iterations}{again}.",
        f"Near duplicates: {near}.",
        f"Outliers: {trim}.",
        f"Sample: {s.target_size:,} images asked for; {quota}; of a cluster {pick}.",
    ]
    numbered = "\n".join(f"{i}. {step}" for i, step in enumerate(steps, 1))
    f = report.funnel
    rows = [["pool", f"{f.pool:,}"], *([f"less {plain(reason_name(d.reason))}", f"{d.count:,}"] for d in f.drops)]
    return f"{numbered}\n\n" + table(["", "images"], [*rows, ["**kept**", f"**{f.kept:,}**"]])


def _balance(comparison: Balance) -> str:
    def cell(metric: Metric, value: Interval | None, places: int) -> str:
        if value is None:
            return "–"

        def say(v: float) -> str:
            return percent(v) if metric.share else number(v, places)

        low, high = value.low, value.high
        return say(value.mean) + (f" ({say(low)} to {say(high)})" if low is not None and high is not None else "")

    rows = []
    for row in comparison.rows:
        cells = []
        for m in comparison.metrics:
            places = decimals(r.values[m.key].mean for r in comparison.rows if m.key in r.values)
            cells.append(cell(m, row.values.get(m.key), places))
        repeats = max((v.n for v in row.values.values()), default=0)
        rows.append([plain(row.name), *cells, str(repeats)])
    head = [f"sample of {comparison.sample_size:,}", *(plain(m.title) for m in comparison.metrics), "repeats"]
    varies = plain(comparison.varies.rstrip(". "), 400)
    return table(head, rows) + f"\n\nMean (95% interval). Between repeats varies: {varies}."


def _learning(learning: Learning) -> str:
    return f"{sentence(learning.difference['probe']).capitalize()}. {how(learning)}"


def _opening(shards: Shards, column: str) -> str:
    """A few lines of code, and what lies where."""
    texts = 'row["caption"], row["label"]' if shards is Shards.PARQUET else 'row["txt"], row["json"]["label"]'
    parts = [
        "FOLDER is where this card lies.",
        fenced(
            'rows = datasets.load_dataset(FOLDER, split="train")\n'
            f'for row in rows:\n    row["{column}"]  # a picture; beside it {texts}',
            "python",
        ),
    ]
    if shards is Shards.WEBDATASET:
        tars = 'webdataset.WebDataset(sorted(glob.glob(f"{FOLDER}/images/*.tar")), shardshuffle=False)'
        parts += [fenced(f'rows = {tars}.decode("pil").to_tuple("{column}", "txt", "json")', "python")]
    rows = []
    for name, (files, row) in TABLES.items():
        call = f'load_dataset(FOLDER, "{name}")'
        if name not in opened(shards):
            call = f'load_dataset("parquet", data_files=f"{{FOLDER}}/{files}")'
        rows.append([f"`{call}`", f"`{files}`", row])
    return "\n\n".join([*parts, table(["", "files", "a row is"], rows, left=3)])


def _columns(config: Config, column: str) -> str:
    found = image_columns(config.sample.shards, len(config.cluster.num_clusters), column)
    rows = [[f"`{code(name)}`", kind, plain(doc, 300)] for name, kind, doc in found]
    return table(["column", "type", "what it is"], rows, left=3)


def _limits(report: CurationReport) -> str:
    limits = [
        "Balance is over what the encoder tells apart; what it cannot see was not balanced.",
        "The set has the pool's biases in what was ever collected: sampling cannot add what is missing.",
        "Nothing was filtered by content: people, text, trademarks and offensive images may be in it.",
        "Captions and labels are the pool's own and were not checked.",
        "Clusters of few images may be outliers or broken images as well as rare subjects.",
    ]
    if report.labels is None:
        limits.insert(0, "The pool has no labels, so balance by meaning was not measured.")
    return "\n".join(f"- {limit}" for limit in limits)


def _again(report: CurationReport) -> str:
    parts = []
    if report.config_yaml:
        parts += [AGAIN, fenced(block(report.config_yaml, 20_000), "yaml")]
    if report.command:
        parts += [COMMAND, fenced(block(report.command, 2000), "sh")]
    rows = [[f"`{code(s.name)}`", f"`{code(s.fingerprint)}`", f"`{code(s.digest)}`"] for s in report.stages]
    if rows:
        digests = table(["stage", "fingerprint (config, code, inputs)", "digest (bytes)"], rows, left=3)
        parts.append(f"{SAME_DIGESTS}\n\n{digests}")
    if report.software:
        made = ", ".join(f"{plain(k)} {plain(v)}" for k, v in report.software.items())
        parts.append(f"Made with {made}.")
    return "\n\n".join(parts) or "The run's config was not recorded."
