"""
Compiles the hot path into a wheel, which `make compiled` does: HATCH_BUILD_HOOK_ENABLE_CUSTOM=true pip wheel .

The modules are those that pyproject.toml names; they stay in the wheel as Python, too. Nothing is written beside their
sources, where it would be loaded in place of what somebody edits next.
"""

import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = "service"


class Compile(BuildHookInterface[BuilderConfig]):
    _folder: Path | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """An editable install stays as it is."""
        if version == "editable":
            return
        self._folder = Path(tempfile.mkdtemp(prefix="softgate-compiled-"))
        try:
            with chdir(Path(self.root, SOURCES)):
                _compile(self.config["modules"], self.config["c"], self._folder)
        except BaseException:
            shutil.rmtree(self._folder)
            raise
        library = self._folder / "lib"
        build_data["force_include"] |= {str(made): str(made.relative_to(library)) for made in library.rglob("*.so")}
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder)


def _compile(modules: Sequence[str], c: Sequence[str], folder: Path) -> None:
    """Leaves the libraries of these modules and of what is C already, in the current folder, in `folder`/lib."""
    from mypyc.build import mypycify
    from setuptools import Distribution, Extension

    arguments = ["--config-file=../pyproject.toml", "--follow-imports=silent", "--ignore-missing-imports"]
    # What is imported may be newer here than where the linter ran.
    arguments += ["--no-warn-unused-ignores", f"--cache-dir={folder / 'types'}"]
    extensions = mypycify([*arguments, *modules], target_dir=str(folder / "c"))
    extensions += [Extension(source.removesuffix(".c").replace("/", "."), [source]) for source in c]
    command = Distribution({"name": "softgate", "ext_modules": extensions}).get_command_obj("build_ext")
    command.build_lib, command.build_temp = str(folder / "lib"), str(folder / "tmp")
    command.parallel = os.cpu_count()
    command.ensure_finalized()
    command.run()
