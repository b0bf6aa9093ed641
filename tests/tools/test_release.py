"""tools/release.py: a version, a dated section of the changelog, and nothing else is a release."""

from __future__ import annotations

import pytest

from tests.tools.load_tool import load_tool

release = load_tool("release")


def test_a_version_and_its_dated_section_are_ready() -> None:
    assert release.problems("0.2.0", "# Changelog\n\n## 0.2.0 - 2026-12-01\n\n## 0.1.0 - 2026-11-21\n") == []


@pytest.mark.parametrize(
    ("version", "heading", "said"),
    [
        ("0.2.0.dev0", "0.2.0 - 2026-12-01", "the version is 0.2.0.dev0"),
        ("0.2.0", "0.2.0 - in preparation", "'0.2.0 - in preparation'; it must be ## 0.2.0 - YYYY-MM-DD"),
        ("0.2.0", "0.1.0 - 2026-11-21", "'0.1.0 - 2026-11-21'; it must be ## 0.2.0"),
        ("0.2.0", "0x2x0 - 2026-11-21", "it must be ## 0.2.0"),
        ("0.2.0", "Unreleased", "'Unreleased'"),
    ],
)
def test_what_is_missing_is_told(version: str, heading: str, said: str) -> None:
    (problem,) = release.problems(version, f"# Changelog\n\n## {heading}\n")
    assert said in problem


def test_a_changelog_without_sections_is_told() -> None:
    assert release.problems("0.2.0", "") == ["CHANGELOG.md begins with ''; it must be ## 0.2.0 - YYYY-MM-DD"]


def test_the_version_is_read_as_the_build_reads_it() -> None:
    assert release.version_of('"""A package."""\n\n__version__ = "1.2.3"\n') == "1.2.3"
    with pytest.raises(SystemExit):
        release.version_of("version = 1\n")
