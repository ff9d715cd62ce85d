"""The one thing that pyproject.toml cannot say: data that is edited outside the package is built
into it. `zsk.resources` finds it in both places.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

DATA = ("configs/**/*.yaml", "configs/**/*.pth", "datasets/photos_*.txt")  # -> zsk/<same path>


class BuildWithData(build_py):
    """Copies DATA beside the package's modules; an editable install uses the checkout's own."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for file in (file for pattern in DATA for file in sorted(Path().glob(pattern))):
            target = Path(self.build_lib, "zsk", file)
            self.mkpath(str(target.parent))
            self.copy_file(str(file), str(target))


setup(cmdclass={"build_py": BuildWithData})
