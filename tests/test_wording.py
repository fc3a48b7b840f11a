"""Wording of code and documentation: words that have a plain technical equivalent do not occur."""

import re
from pathlib import Path

from code_tree import PACKAGE, ROOT

#: Each term with the wording to use instead.
TERMS = {
    "told": "declared, given, reported",
    "untold": "without the option",
    "heeds?": "use, consider",
    "anew": "again",
    "asked for": "requested, required",
    "whole": "complete, entire, finished",
    "beside": "next to, compared with",
    "doubts?": "uncertainty",
    "doubtful": "uncertain, ambiguous",
    "speaks? for": "supports",
    "of its own": "separate",
    "as it came": "unchanged, original",
    "is had": "is obtained",
    "comes to": "is, reaches",
    "goes on": "continues, resumes",
    "nobody's business": "say what is excluded",
}
PATTERN = re.compile(rf"\b({'|'.join(TERMS)})\b".replace(" ", r"\s+(?:#:?\s+)?"), re.IGNORECASE)
PAGES = [ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY", "CHANGELOG")]
FOLDERS = [PACKAGE, *(ROOT / name for name in ("docs", "tests", "benchmarks", "tools", "qgis"))]
TEXTS = [
    *PAGES,
    *(
        path
        for folder in FOLDERS
        for kind in ("*.py", "*.yaml", "*.md")
        for path in sorted(folder.rglob(kind))
        if not {"_build", "node_modules"} & set(path.parts) and path.name != Path(__file__).name
    ),
]


def faults(text: str) -> list[str]:
    """Return the line and the words of every term that occurs."""
    return [
        f"line {text.count(chr(10), 0, match.start()) + 1}: {match[0]!r}"
        for match in PATTERN.finditer(text)
    ]


def test_plain_words() -> None:
    reports = {str(p.relative_to(ROOT)): faults(p.read_text(encoding="utf-8")) for p in TEXTS}
    assert {name: report for name, report in reports.items() if report} == {}


def test_terms_are_recognised() -> None:
    text = "The whole file.\nIt was asked\n    # for; nothing\nuntold. Wholesale, retold."
    assert faults(text) == ["line 1: 'whole'", "line 2: 'asked\\n    # for'", "line 4: 'untold'"]
