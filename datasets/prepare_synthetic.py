"""Renders the synthetic world as PNG files: 3000 scenes to train on, 80 to validate on.

Writes train/photos, train/labels, val/photos and val/labels below the root, 85 MB in all. Running
it again continues where it stopped.
"""

from __future__ import annotations

import argparse
import functools
import sys
from pathlib import Path

# a checkout works as it is, without being installed
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from preparation import options  # noqa: E402
from preparation.files import make_folder, write_png  # noqa: E402
from preparation.parallel import map_files  # noqa: E402
from synthetic_world.scene import PARTS, render_scene  # noqa: E402

from zsk.errors import UserError, run_cli  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    options.add_root(parser, "synthetic", "to write")
    options.add_workers(parser)
    parser.add_argument("--limit", type=int, help="only the first scenes of each part")
    args = parser.parse_args()
    if args.limit is not None and args.limit < 1:
        raise UserError(f"--limit is {args.limit}: give 1 or more scenes")
    for part, scenes in render_world(args.root, limit=args.limit, workers=args.workers).items():
        print(f"{args.root / part}: {scenes:,} scenes")


def render_world(root: Path, *, limit: int | None = None, workers: int = 1) -> dict[str, int]:
    """Render the scenes that are missing below `root`.

    Args:
        root: folder; gets <part>/photos/<stem>.png, RGB, and <part>/labels/<stem>.png, ids of the
            split synthetic_stuff.
        limit: only the first scenes of each part; None renders all.
        workers: number of threads.

    Returns:
        The number of scenes by part, whether rendered now or before.

    Raises:
        UserError: a file cannot be written, or there is no worker.
    """
    rendered = {}
    for part, (seed, scenes) in PARTS.items():
        photos = root / part / "photos"
        for folder in (photos, photos.with_name("labels")):
            make_folder(folder)
        files = [photos / f"{number:05}.png" for number in range(scenes)][:limit]
        render = functools.partial(_render_scene, seed=seed)
        map_files(render, files, workers=workers, description=f"synthetic/{part}")
        rendered[part] = len(files)
    return rendered


def _render_scene(photo: Path, seed: int) -> None:
    """Write the photo of a scene and its label, unless both are there."""
    label = photo.parent.with_name("labels") / photo.name
    if photo.exists() and label.exists():
        return
    image, classes = render_scene(seed, int(photo.stem))
    write_png(photo, image)
    write_png(label, classes)


if __name__ == "__main__":
    run_cli(main)
