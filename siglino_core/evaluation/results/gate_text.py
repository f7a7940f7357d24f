"""A gate's checks for machines and people: JUnit XML, which every CI reads, and Markdown."""

from xml.etree import ElementTree

from siglino_core.evaluation.results.gate import Gate
from siglino_core.evaluation.results.invariants import Check
from siglino_core.report.cards import plain, table
from siglino_core.report.words import clean

SUITE = "siglino.gate"


def junit(gate: Gate) -> bytes:
    """JUnit XML: a test case a check; names are others' text and stay text."""
    failed, skipped = sum(not c.passed for c in gate.checks), sum(c.skipped for c in gate.checks)
    counts = {"tests": str(len(gate.checks)), "failures": str(failed), "errors": "0", "skipped": str(skipped)}
    root = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(root, "testsuite", {"name": SUITE, **counts})
    for check in gate.checks:
        kind = clean(check.name.split(":", 1)[0], 80)
        case = ElementTree.SubElement(
            suite, "testcase", {"classname": f"{SUITE}.{kind}", "name": clean(check.name, 400)}
        )
        words = clean(check.words, 1000)
        if not check.passed:
            ElementTree.SubElement(case, "failure", {"message": words}).text = words
        elif check.skipped:
            ElementTree.SubElement(case, "skipped", {"message": words})
        else:
            ElementTree.SubElement(case, "system-out").text = words
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def markdown(gate: Gate) -> str:
    """The verdict and a table of the checks, those that did not pass first."""
    failed = [c for c in gate.checks if not c.passed]
    verdict = f"**Failed**: {len(failed):,} of {len(gate.checks):,} checks." if failed else _passed(gate)
    rest = [c for c in gate.checks if c.passed]
    rows = [[_outcome(c), plain(c.name, 400), plain(c.words, 1000)] for c in [*failed, *rest]]
    return verdict + "\n" + ("\n" + table(["", "check", "found"], rows, left=3) + "\n" if rows else "")


def _passed(gate: Gate) -> str:
    skipped = sum(c.skipped for c in gate.checks)
    return f"**Passed**: {len(gate.checks):,} checks" + (f", {skipped:,} of them skipped." if skipped else ".")


def _outcome(check: Check) -> str:
    return "skipped" if check.skipped else "passed" if check.passed else "**failed**"
