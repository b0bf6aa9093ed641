"""The documentation holds together: links lead somewhere, and the indexes name every page and every example."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

import ipexlaunch
from ipexlaunch.batch.items import BatchSummary
from ipexlaunch.measure.report import InstanceReport, Report
from ipexlaunch.measure.service import ServiceSummary

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("examples/*/*.md")]
)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def links(page: Path) -> list[str]:
    """The targets of a page's links to files, as they stand there."""
    return [link for link in LINK.findall(CODE.sub("", page.read_text())) if "://" not in link]


def test_there_are_pages_with_links() -> None:
    assert sum(len(links(page)) for page in PAGES) > 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    assert [link for link in links(page) if not (page.parent / link).exists()] == []


def test_the_index_names_every_page() -> None:
    named = {(ROOT / "docs" / link).resolve() for link in links(ROOT / "docs/README.md")}
    pages = {page for page in (ROOT / "docs").glob("*.md") if page.name != "README.md"}
    assert pages - named == set()


def test_the_examples_page_names_every_example() -> None:
    named = {(ROOT / "examples" / link).resolve() for link in links(ROOT / "examples/README.md")}
    found = {file for file in (ROOT / "examples").iterdir() if file.name not in ("README.md", "__pycache__")}
    assert {file for file in found if not any(file in (link, *link.parents) for link in named)} == set()


def test_every_decision_has_a_number_of_its_own() -> None:
    numbers = [page.name[:4] for page in (ROOT / "docs/decisions").glob("[0-9]*.md")]
    assert all(number.isdecimal() for number in numbers)
    assert len(numbers) == len(set(numbers))


def test_what_the_table_of_the_house_names_is_there() -> None:
    page = (ROOT / "docs/developing.md").read_text(encoding="utf-8")
    table = page.partition("### Where is")[2].partition("\n## ")[0]
    named = re.findall(r"`([\w./*]+)`", "".join(line.rpartition(" | ")[2] for line in table.splitlines()))
    assert len(named) > 10
    package = Path(ipexlaunch.__file__).parent
    assert [name for name in named if not list(package.glob(name.rstrip("/")))] == []


@pytest.mark.parametrize("value", [Report, InstanceReport, BatchSummary, ServiceSummary])
def test_the_page_has_every_key_of_a_report(value: type) -> None:
    page = (ROOT / "docs/report.md").read_text(encoding="utf-8")
    section = page.partition("## The JSON keys")[2].partition("\n## ")[0]
    assert {field.name for field in fields(value)} - set(re.findall(r"\w+", section)) == set()
