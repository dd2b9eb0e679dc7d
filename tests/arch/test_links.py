# SPDX-License-Identifier: GPL-2.0-or-later
"""Relative links in Markdown lead to a file that is there, and anchors to a heading."""

from __future__ import annotations

import posixpath
import re

import pytest

from tests.arch.tree import ROOT, files, text

_LINK = re.compile(r"\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\s*\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
_OUTSIDE = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")


def without_code(markdown: str) -> str:
    """MARKDOWN without code blocks and code spans: brackets in there are not links."""
    fenced = re.sub(r"^(```|~~~).*?^\1[^\n]*$", "", markdown, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"(`+)(?!`).*?\1", "", fenced)


def links(markdown: str) -> list[str]:
    """Every link target inside the repository."""
    targets = [inline or reference for inline, reference in _LINK.findall(without_code(markdown))]
    return [target for target in targets if not _OUTSIDE.match(target)]


def anchors(markdown: str) -> set[str]:
    """The anchors that GitHub makes of headings, and those set by hand."""
    found = set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", markdown))
    seen: dict[str, int] = {}
    fenced = re.sub(r"^(```|~~~).*?^\1[^\n]*$", "", markdown, flags=re.MULTILINE | re.DOTALL)
    for heading in re.findall(r"^#{1,6}[ \t]+(.+?)[ \t]*#*$", fenced, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        found.add(slug if count == 0 else f"{slug}-{count}")
    return found


def broken_links(name: str, markdown: str) -> list[str]:
    """What NAME links to that is not there."""
    broken: list[str] = []
    for target in links(markdown):
        path, _, anchor = target.partition("#")
        place = posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) if path else name
        if path and (place.startswith("..") or not (ROOT / place).exists()):
            broken.append(f"{name}: {target}")
        elif anchor and place.endswith(".md"):
            heading_source = markdown if place == name else text(place)
            if anchor not in anchors(heading_source):
                broken.append(f"{name}: {target} (no such heading)")
    return broken


def test_relative_links_resolve() -> None:
    broken = [why for name in files() if name.endswith(".md") for why in broken_links(name, text(name))]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    ("markdown", "n_broken"),
    [
        ("[a](LICENSE) [b](https://example.org/x) `[c](nowhere)`", 0),
        ("[a](nowhere.md)", 1),
        ("## A `title`, here\n[a](#a-title-here) [b](#no-such)", 1),
        ("```\n[a](nowhere)\n```\n[b](../outside)", 1),
        ("[a]: nowhere.md", 1),
    ],
)
def test_the_link_rule_itself(markdown: str, n_broken: int) -> None:
    assert len(broken_links("README.md", markdown)) == n_broken
