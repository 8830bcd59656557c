"""What a page links to is there: the file, and the heading in it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path.relative_to(ROOT).as_posix() for pattern in ("*.md", "docs/**/*.md", "scenarios/**/*.md") for path in ROOT.glob(pattern)
)
BLOCK = re.compile(r"^```.*?^```", flags=re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as they are made of their words."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text("utf-8")), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def lost_links(page: Path, text: str) -> list[str]:
    """Links to files of the repository, or headings in them, that are not there."""
    lost: list[str] = []
    for link in LINK.findall(BLOCK.sub("", text)):
        name, _, anchor = link.partition("#")
        if ":" in name:  # somewhere else
            continue
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    return lost


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_links_to_is_there(page: str) -> None:
    assert lost_links(ROOT / page, (ROOT / page).read_text("utf-8")) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One page\n\n## P1. What's it, `code` and all\n")
    text = "[a](page.md) [b](#p1-whats-it-code-and-all) [c](page.md#one-page) [d](gone.md) [e](page.md#two-pages) [f](https://example.org)"
    assert lost_links(page, text) == ["gone.md", "page.md#two-pages"]
