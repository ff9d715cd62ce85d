#!/usr/bin/env python
"""Give damaged and odd photos, and odd lists of class names, to the demo.

python tools/fuzz_demo.py
python tools/fuzz_demo.py --photos 100 --lists 0 --seed 1

Photos go through `demo/demo.py` in folders of 50 with three sound ones, lists of names through its
`main`. Each photo has to end as whole results or as a line that names it, each list of names as
results or as one sentence. The exit code is 1, and the cases stay in the output folder, after a
traceback, a hang, results that are not whole, or a photo that is neither done nor named.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

# a checkout works as it is, without being installed
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import zsk  # noqa: F401, E402  isort: skip  (first: makes Detectron2 importable)
from fuzz.odd_files import make_name_files, make_odd_file, odd_names, sound_photo  # noqa: E402
from PIL import Image  # noqa: E402
from tqdm import tqdm  # noqa: E402

from zsk.cli import segment  # noqa: E402
from zsk.errors import UserError, run_cli  # noqa: E402
from zsk.terminal import printable  # noqa: E402

PER_FOLDER, SOUND = 50, 3
OPTIONS = ("INPUT.MIN_SIZE_TEST", "64")  # the model sees photos small, to save time
TIMEOUT = 600  # seconds for a folder or a list of names


def judge_folder(odd: Sequence[Path], results: Path, code: int, errors: str) -> Counter[str]:
    """How the photos of one run ended; an outcome that may not be starts with "WRONG"."""
    outcomes: Counter[str] = Counter()
    if "Traceback" in errors or code not in (0, 2):
        outcomes[f"WRONG: exit code {code}, {errors[-300:]!r}"] += 1
    done = {}
    for file in results.glob("*.json"):
        summary = json.loads(file.read_bytes())
        done[summary["image"]] = file
        with Image.open(file.with_name(f"{file.stem}_labels.png")) as labels:
            if labels.size != (summary["width"], summary["height"]) or not labels.load():
                outcomes[f"WRONG: {file.name} has other label images"] += 1
    if len(list(results.glob("*"))) != 3 * len(done):
        outcomes["WRONG: results that are not whole"] += 1
    for path in odd:
        shown = printable(str(path))
        escaped = shown.encode("ascii", "backslashreplace").decode()  # to an output of ASCII
        if str(path) in done:
            outcomes["done"] += 1
        elif f" {shown} " in errors or f" {escaped} " in errors:
            outcomes["refused with a line"] += 1
        else:
            outcomes[f"WRONG: neither done nor named: {path.name!r}"] += 1
    for k in range(SOUND):
        outcomes["sound, done"] += str(odd[0].parent / f"sound{k}.png") in done
    return outcomes


def fuzz_folder(folder: Path, count: int, rng: random.Random) -> Counter[str]:
    """Run the program on `count` odd photos and three sound ones."""
    photos, results = folder / "photos", folder / "results"
    photos.mkdir(parents=True)
    odd = [make_odd_file(photos, k, rng) for k in range(count)]
    for k in range(SOUND):
        sound_photo(rng).save(photos / f"sound{k}.png")
    command = [sys.executable, str(ROOT / "demo" / "demo.py"), "--input", str(photos)]
    command += ["--output", str(results), "--class-names", "cat, sofa", "--batch-size", "4"]
    command += ["--opts", *OPTIONS]
    environment = {**os.environ, "PYTHONIOENCODING": rng.choice(("utf-8", "ascii:strict"))}
    environment |= {"PYTHONFAULTHANDLER": "1"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, env=environment) as program:
        try:
            _, errors = program.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            program.send_signal(signal.SIGABRT)  # Python's fault handler says where it is
            _, errors = program.communicate()
    (folder / "stderr.txt").write_bytes(errors)
    outcomes = judge_folder(odd, results, program.returncode, errors.decode("utf-8", "replace"))
    if outcomes["sound, done"] != SOUND:
        outcomes["WRONG: a sound photo is not done"] += 1
    return outcomes


def fuzz_names(folder: Path, count: int, rng: random.Random) -> Counter[str]:
    """Ask the demo's main, with one model for all, for odd lists of names."""
    os.chdir(folder)
    make_name_files(folder)
    sound_photo(rng).save("sound.png")
    segmenter = segment.Segmenter(device="cpu", opts=OPTIONS)
    segment.segmenter_of = lambda _: segmenter
    arguments = ["--input", "sound.png", "--output", "results", "--overwrite", "--class-names"]
    outcomes: Counter[str] = Counter()
    for _ in tqdm(range(count), desc="lists of names", disable=None):
        names = odd_names(rng)
        signal.alarm(TIMEOUT)  # ends the program: a hang
        try:
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                code = segment.main([*arguments, names])
            outcome = "names, done" if code == 0 else "names, WRONG: the photo is not done"
        except (UserError, SystemExit):  # SystemExit: argparse takes "-x" for an option
            outcome = "names, refused with a sentence"
        except Exception as error:
            outcome = f"names, WRONG: {error!r:.200} for {names!r:.80}"
        outcomes[outcome] += 1
        signal.alarm(0)
    return outcomes


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Give odd photos and names to the demo.")
    parser.add_argument("--photos", type=int, default=500, help="default: %(default)s")
    parser.add_argument("--lists", type=int, default=200, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", default="output/fuzz", help="default: %(default)s")
    args = parser.parse_args(argv)
    rng, output = random.Random(args.seed), Path(args.output).resolve()
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    outcomes: Counter[str] = Counter()
    for first in tqdm(range(0, args.photos, PER_FOLDER), desc="folders", disable=None):
        count = min(PER_FOLDER, args.photos - first)
        outcomes += fuzz_folder(output / f"photos{first}", count, rng)
    if args.lists:
        outcomes += fuzz_names(output, args.lists, rng)
    for outcome, count in sorted(outcomes.items()):
        print(f"{count:5d}  {outcome}")
    wrong = any("WRONG" in outcome for outcome in outcomes)
    if not wrong:
        shutil.rmtree(output)
    return int(wrong)


if __name__ == "__main__":
    run_cli(main)
