#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes a small initramfs of busybox, /init and kernel modules: python3 initramfs.py -o initrd.gz.

The archive is cpio's "newc" form (Documentation/driver-api/early-userspace/buffer-format.rst of Linux) inside
gzip. It depends on the contents of its files alone: names are sorted, inodes numbered, owners root, times 0.
So whoever makes it of the same packages gets the same archive.
"""

from __future__ import annotations

import argparse
import gzip
import io
import lzma
import re
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import fetch

MODULES = ("pata_legacy", "sd_mod")
"""What an ATA disk at the usual I/O ports needs, without what these depend on."""
FOLDERS = ("bin", "dev", "etc", "mnt", "proc", "root", "sys", "tmp")
CONSOLE = (5, 1)
"""Device numbers of /dev/console, which the kernel opens for /init before anything is mounted."""


_MODULE_HELP = f"a further module, with what it needs; always there: {', '.join(MODULES)}"
_ADD_HELP = "a file of the host, and where it stands in the guest; /FILE without PATH"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, a folder or a device of the archive."""

    mode: int
    content: bytes = b""
    device: tuple[int, int] = (0, 0)


def archive(entries: Mapping[str, Entry]) -> bytes:
    """A newc archive of entries by their paths (without a leading slash), folders before what is in them."""
    parts: list[bytes] = []
    for inode, (path, entry) in enumerate(sorted(entries.items()), 1):
        parts.append(_member(inode, path, entry))
    parts.append(_member(0, "TRAILER!!!", Entry(0)))
    return b"".join(parts)


def _member(inode: int, path: str, entry: Entry) -> bytes:
    name = path.encode() + b"\0"
    n_links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (inode, entry.mode, 0, 0, n_links, 0, len(entry.content), 0, 0, *entry.device, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + name) + _padded(entry.content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def module_names(modules: Path, wanted: Sequence[str]) -> dict[str, Path]:
    """The files of modules and of all that they depend on, by their names.

    A package has no modules.dep (that is made at installation), so each module is asked: its section .modinfo
    says "depends=". What is built into the kernel has no file, and is never named there.

    Raises UnavailableError where there is no such module.
    """
    files = {path.name.split(".")[0].replace("-", "_"): path for path in sorted(modules.rglob("*.ko*"))}
    found: dict[str, Path] = {}
    waiting = [name.replace("-", "_") for name in wanted]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        if name not in files:
            raise fetch.UnavailableError(f"{modules}: holds no module {name}")
        found[name] = files[name]
        waiting += depends(module_content(files[name]))
    return dict(sorted(found.items()))


def module_content(path: Path) -> bytes:
    """A module as the kernel takes it: not compressed. Raises UnavailableError where that cannot be."""
    if path.suffix == ".ko":
        return path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(path.read_bytes())
    raise fetch.UnavailableError(f"{path}: compressed in a form that Python has no library for")


def depends(content: bytes) -> list[str]:
    """The modules that a module names in its .modinfo, with underscores."""
    said = re.search(rb"\0depends=([^\0]*)\0", content)
    return [name.decode().replace("-", "_") for name in said[1].split(b",") if name] if said else []


def entries(
    kernel: fetch.Kernel,
    busybox: Path,
    wanted: Sequence[str] = MODULES,
    added: Mapping[str, Path] | None = None,
) -> dict[str, Entry]:
    """What stands in the archive. `added` are files of the host, by their paths in the guest."""
    made = {path: Entry(stat.S_IFDIR | 0o755) for path in FOLDERS}
    made["dev/console"] = Entry(stat.S_IFCHR | 0o600, device=CONSOLE)
    made["init"] = Entry(stat.S_IFREG | 0o755, (Path(__file__).resolve().parent / "init").read_bytes())
    made["bin/busybox"] = Entry(stat.S_IFREG | 0o755, busybox.read_bytes())
    modules = {name: module_content(path) for name, path in module_names(kernel.modules, wanted).items()}
    tree = f"lib/modules/{kernel.release}"
    for name, content in modules.items():
        made[f"{tree}/{name}.ko"] = Entry(stat.S_IFREG | 0o644, content)
    rows = [
        f"{name}.ko:" + "".join(f" {other}.ko" for other in _all_needed(name, modules)) for name in modules
    ]
    made[f"{tree}/modules.dep"] = Entry(stat.S_IFREG | 0o644, "".join(f"{row}\n" for row in rows).encode())
    for place, path in (added or {}).items():
        is_program = path.stat().st_mode & 0o111 != 0
        made[place.strip("/")] = Entry(stat.S_IFREG | (0o755 if is_program else 0o644), path.read_bytes())
    folders = {str(parent) for path in made for parent in PurePosixPath(path).parents} - {"."}
    return {path: Entry(stat.S_IFDIR | 0o755) for path in folders} | made


def _all_needed(name: str, modules: Mapping[str, bytes]) -> Iterator[str]:
    """All that a module depends on, nearest first: modprobe loads from the end."""
    waiting, seen = depends(modules[name]), set[str]()
    while waiting:
        other = waiting.pop(0)
        if other in seen:
            continue
        seen.add(other)
        yield other
        waiting += depends(modules[other])


def build(kernel: fetch.Kernel, busybox: Path, wanted: Sequence[str] = MODULES,
          added: Mapping[str, Path] | None = None) -> bytes:  # fmt: skip
    """The whole initramfs, as `--initrd` takes it. Raises UnavailableError where a module is missing."""
    packed = io.BytesIO()
    with gzip.GzipFile("", "wb", 6, packed, mtime=0) as file:
        file.write(archive(entries(kernel, busybox, wanted, added)))
    return packed.getvalue()


def _added(text: str) -> tuple[str, Path]:
    """`FILE` or `FILE:PATH`."""
    file, _, place = text.partition(":")
    return place or f"/{Path(file).name}", Path(file)


def main(words: Sequence[str]) -> int:
    """Write an initramfs."""
    parser = argparse.ArgumentParser(prog="initramfs.py", description="Make a busybox initramfs.")
    parser.add_argument("-o", "--output", type=Path, default=Path("initrd.gz"), metavar="FILE")
    parser.add_argument(
        "--kernel", default=fetch.KERNEL, metavar="PACKAGE", help="whose modules; %(default)s"
    )
    parser.add_argument("--module", action="append", default=[], metavar="NAME", help=_MODULE_HELP)
    parser.add_argument(
        "--add", action="append", default=[], type=_added, metavar="FILE[:PATH]", help=_ADD_HELP
    )
    given = parser.parse_args(words)
    try:
        _, colon, architecture = given.kernel.partition(":")
        busybox = fetch.package_folder(fetch.BUSYBOX + colon + architecture) / "bin" / "busybox"
        made = build(fetch.kernel(given.kernel), busybox, (*MODULES, *given.module), dict(given.add))
        given.output.write_bytes(made)
    except (fetch.UnavailableError, OSError, lzma.LZMAError) as error:
        print(f"initramfs.py: {error}", file=sys.stderr)
        return 1
    print(f"{given.output}: {len(made)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
