# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules for single files: a licence line in each, and none so long that it must hold two ideas."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from tests.arch.tree import files, text

MAX_LINES = 400
CODE = {".py", ".c", ".h", ".S", ".s", ".lds", ".sh"}
SOURCES = CODE | {".cdef", ".md", ".toml", ".in", ".mk"}
SOURCE_NAMES = {"Makefile", ".gitignore", "run"}

# Written by `python -m pvisor.abi`, so their length is the table's.
GENERATED = {"guest_sdk/include/pv/abi.h", "guest_sdk/include/pv/hypercall.h", "pvisor/abi/abi.cdef"}


def licence_of(name: str) -> str:
    """What belongs in the SPDX line: the SDK, and everything else that is linked into a guest, is MIT."""
    if name.startswith("guest_sdk/"):
        return "MIT"
    if name.startswith("demos/") and PurePosixPath(name).suffix in CODE - {".py", ".sh"}:
        return "MIT"
    return "GPL-2.0-or-later"


def spdx_violation(name: str, content: str) -> str | None:
    """Why the first lines of CONTENT are not as they should be, or None."""
    wanted = licence_of(name)
    # A script's first line is its interpreter's; otherwise the SPDX line is the first.
    first = content.split("\n", 2)[:2] if content.startswith("#!") else content.split("\n", 1)[:1]
    for line in first:
        if "SPDX-License-Identifier:" in line:
            licence = line.split("SPDX-License-Identifier:")[1].replace("*/", "").replace("-->", "").strip()
            return None if licence == wanted else f"{name}: SPDX says {licence}, should be {wanted}"
    return f"{name}: does not begin with 'SPDX-License-Identifier: {wanted}'"


def is_source(name: str) -> bool:
    """Whether NAME is a file that people write, as against data and empty markers."""
    path = PurePosixPath(name)
    return path.suffix in SOURCES or path.name in SOURCE_NAMES


def test_each_source_file_begins_with_its_licence() -> None:
    violations = [why for name in files() if is_source(name) and (why := spdx_violation(name, text(name)))]
    assert not violations, "\n".join(violations)


def test_no_file_is_too_long() -> None:
    code = [name for name in files() if PurePosixPath(name).suffix in CODE and name not in GENERATED]
    lengths = {name: text(name).count("\n") for name in code}
    assert not {name: lines for name, lines in lengths.items() if lines > MAX_LINES}


@pytest.mark.parametrize(
    ("name", "content", "fine"),
    [
        ("pvisor/a.py", "# SPDX-License-Identifier: GPL-2.0-or-later\n", True),
        ("pvisor/a.py", '"""Text first."""\n# SPDX-License-Identifier: GPL-2.0-or-later\n', False),
        ("guest_sdk/src/a.c", "/* SPDX-License-Identifier: MIT */\n", True),
        ("guest_sdk/src/a.c", "/* SPDX-License-Identifier: GPL-2.0-or-later */\n", False),
        ("demos/01-hello/hello.c", "/* SPDX-License-Identifier: MIT */\n", True),
        ("demos/01-hello/README.md", "<!-- SPDX-License-Identifier: GPL-2.0-or-later -->\n", True),
        (".ci/run", "#!/bin/sh\n# SPDX-License-Identifier: GPL-2.0-or-later\n", True),
    ],
)
def test_the_licence_rule_itself(name: str, content: str, fine: bool) -> None:
    assert (spdx_violation(name, content) is None) is fine
