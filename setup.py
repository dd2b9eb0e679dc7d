# SPDX-License-Identifier: GPL-2.0-or-later
"""What pyproject.toml cannot say: the C extension, and the folders shipped in `pvisor/share`."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHARED = ("guest_sdk", "demos", "hypercalls.md")
NOT_SHIPPED = shutil.ignore_patterns("__pycache__", "*.o", "*.elf", "*.tmp", ".*")


class BuildWithShare(build_py):
    """Copies the guest SDK, the demos and the ABI text into the package.

    An editable installation uses the checkout's instead.
    """

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        share = self._share()
        shutil.rmtree(share, ignore_errors=True)
        share.mkdir(parents=True)
        for name in SHARED:
            if Path(name).is_dir():
                shutil.copytree(name, share / name, ignore=NOT_SHIPPED)
            else:
                shutil.copy2(name, share / name)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        outputs: list[str] = super().get_outputs(include_bytecode)
        return outputs + sorted(str(path) for path in self._share().rglob("*") if path.is_file())

    def _share(self) -> Path:
        return Path(self.build_lib) / "pvisor" / "share"


setup(
    cffi_modules=["pvisor/cpu/shim/build.py:ffi_builder"],
    cmdclass={"build_py": BuildWithShare},
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
