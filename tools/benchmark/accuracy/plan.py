"""From tables to runs: rows with the same training share it, rows with the same evaluation too."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from benchmark.accuracy.rows import Commands, Definition, Row, Settings, Start, describe
from benchmark.accuracy.runs import Job, Kind
from detectron2.config import CfgNode

from zsk.data.vocabularies import get_vocabulary, trained_names
from zsk.errors import UserError
from zsk.load import config_hash, load_config
from zsk.protocol import INDUCTIVE, loosest, protocol_of
from zsk.vocabulary import Vocabulary

_ROOT = Path(__file__).resolve().parents[3]
WEIGHTS_FILE = "model_final.pth"  # what a training leaves
_DIGITS = 12  # of a hash in a folder's name


@dataclass(frozen=True)
class Trial:
    """One row with one seed.

    Attributes:
        row, seed: see there.
        train: the run that trained it, None for an untrained row.
        evaluate: the run whose scores count; `train` where its own last evaluation does.
        cfg: the configuration of `evaluate`.
        vocabulary: of the test data set's own split, whatever the row was trained on.
        protocol: what the training, or the one that it starts from, used of unseen classes.
        configuration: see `Definition.configuration_key`.
    """

    row: Row
    seed: int
    train: Job | None
    evaluate: Job
    cfg: CfgNode
    vocabulary: Vocabulary
    protocol: str = INDUCTIVE
    configuration: str = ""

    @property
    def dataset(self) -> str:
        return self.cfg.DATASETS.TEST[0]

    @property
    def inference(self) -> Path:
        """The folder of the evaluation's files."""
        return self.evaluate.folder / "inference" / self.dataset


class Plan:
    """The trials of a definition's selected tables, and the jobs that they need, each once.

    Attributes:
        jobs: each after those that it needs.
        trials: in the order of the tables.

    Raises:
        UserError: naming table and row, for a configuration that cannot be read, an unknown key or
            placeholder, a program that is not there, or not exactly one test data set.
    """

    def __init__(self, definition: Definition, work: str | os.PathLike[str]) -> None:
        self._work = Path(os.path.abspath(work))
        self._definition = definition
        self._jobs: dict[Path, Job] = {}
        self._common = {"work": str(self._work)}
        self._common_needs = self._prepare(definition.prepare, self._common, "prepare", ())
        self.trials = []
        for row in definition.selected_rows():
            for seed in definition.seeds[: row.seeds if row.trained else 1]:
                with _named(row):
                    self.trials.append(self._trial(row, seed))
        self.jobs = list(self._jobs.values())

    def _trial(self, row: Row, seed: int) -> Trial:
        places = {**self._common, "seed": str(seed), "config": row.config}
        needs = self._prepare(row.prepare, places, f"prepare {row.system}", self._common_needs)
        settings, protocol = row.settings, INDUCTIVE
        if row.start:
            start, cfg = self._start(row, row.start, seed)
            protocol = protocol_of(cfg)
            settings = {**settings, "MODEL.WEIGHTS": str(start.folder / WEIGHTS_FILE)}
            needs = (*needs, start.folder)
        options = self._options(row, settings, seed, places)
        cfg = load_config(row.config, options)
        if len(cfg.DATASETS.TEST) != 1:
            raise UserError(f"DATASETS.TEST is {tuple(cfg.DATASETS.TEST)}: name one data set")
        training = config_hash(cfg)
        protocol = loosest(protocol, protocol_of(cfg))
        folder = self._folder(row.config, cfg)
        name = f"{row.system} {describe(row.settings)}".rstrip() + f", seed {seed}"
        kind: Kind = "train" if row.trained else "evaluate"
        first = evaluate = self._job(kind, name, folder, row.config, options, needs)
        options = options + as_words(row.evaluate, places)  # nothing more of an untrained row
        cfg = load_config(row.config, options)
        if config_hash(cfg) != training:  # else the training ends with this evaluation
            options += ["MODEL.WEIGHTS", str(folder / WEIGHTS_FILE)]
            needs = (folder, *needs)
            folder = folder / "evaluations" / config_hash(cfg)[:_DIGITS]
            name += f", {describe(row.evaluate)}"
            evaluate = self._job("evaluate", name, folder, row.config, options, needs)
        vocabulary = get_vocabulary(cfg.DATASETS.TEST[0])
        train, key = first if row.trained else None, self._definition.configuration_key(row)
        return Trial(row, seed, train, evaluate, cfg, vocabulary, protocol, key)

    def _start(self, row: Row, start: Start, seed: int) -> tuple[Job, CfgNode]:
        """Plan the training that a row starts from; one that other rows have is shared."""
        places = {**self._common, "seed": str(seed), "config": start.config}
        options = self._options(row, start.settings, seed, places)
        cfg = load_config(start.config, options)
        name = f"{Path(start.config).stem} {describe(start.settings)}".rstrip()
        name += f", seed {seed}, where {row.system} starts"
        folder = self._folder(start.config, cfg)
        needs = self._common_needs
        return self._job("train", name, folder, start.config, options, needs), cfg

    def _options(
        self, row: Row, settings: Settings, seed: int, places: Mapping[str, str]
    ) -> list[str]:
        """The command line of a training for a row, whose own settings are `settings`."""
        options = as_words(self._definition.training_settings(row, settings), places)
        return [*options, "SEED", str(seed), "TEST.DUMP", "['png']"]

    def _folder(self, config: str, cfg: CfgNode) -> Path:
        return self._work / "runs" / f"{Path(config).stem}-{config_hash(cfg)[:_DIGITS]}"

    def _job(
        self,
        kind: Kind,
        name: str,
        folder: Path,
        config: str,
        options: Sequence[str],
        needs: tuple[Path, ...],
    ) -> Job:
        """A run of train_net.py; the one that is planned already where there is one."""
        flags = ["--eval-only"] if kind == "evaluate" else []
        arguments = ("--config-file", config, *flags, *options, "OUTPUT_DIR", str(folder))
        job = Job(f"{kind} {name}", kind, folder, _ROOT / "train_net.py", arguments, needs)
        planned = self._jobs.setdefault(folder, job)
        if planned.kind != kind:
            raise UserError(
                "another row has the same settings, and one of the two is trained and the other "
                "not: they would share a folder of results; give the untrained one a key that "
                "changes it, such as MODEL.WEIGHTS"
            )
        return planned

    def _prepare(
        self, commands: Commands, places: dict[str, str], what: str, needs: tuple[Path, ...]
    ) -> tuple[Path, ...]:
        """Plan preparations and add their outputs to `places`, under their names.

        Each waits for `needs` and for those before it. Returns `needs` and their folders.
        """
        for name, words in commands.items():
            # the words and the configuration decide what is written; the checkout's place does not
            unplaced = {**places, "output": "{output}", "config": "{config}"}
            content = [fill(word, unplaced) for word in words]
            if "config" in places and any("{config}" in word for word in words):
                content.append(config_hash(load_config(places["config"])))
            digest = hashlib.sha256("\0".join(content).encode()).hexdigest()[:_DIGITS]
            folder = self._work / "prepared" / f"{name}-{digest}"
            program = _ROOT / words[0]
            if not program.is_file():
                raise UserError(f"prepare.{name}: there is no program {words[0]}")
            output = str(folder / name)
            arguments = tuple(fill(word, {**places, "output": output}) for word in words[1:])
            elsewhere = not any("{output}" in word for word in words)
            job = Job(f"{what}: {name}", "prepare", folder, program, arguments, needs, elsewhere)
            self._jobs.setdefault(folder, job)
            places[name] = output
            needs = (*needs, folder)
        return needs


def as_words(settings: Settings, places: Mapping[str, str]) -> list[str]:
    """Configuration keys and values as words of a command line."""
    return [word for key, value in settings.items() for word in (key, fill(str(value), places))]


def fill(text: str, places: Mapping[str, str]) -> str:
    """Replace {name} by `places[name]`."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in places:
            raise UserError(
                f"{text!r} has the placeholder {match[0]}: known are {', '.join(places)}"
            )
        return places[match[1]]

    return re.sub(r"\{(\w+)\}", value, text)


def supervised_systems(definition: Definition) -> set[str]:
    """Names of the systems that are trained on masks of every class of a split with unseen ones."""
    found = set()
    for row in (row for table in definition.tables for row in table.rows if row.trained):
        # keys of the data alone decide it
        settings = definition.training_settings(row, row.settings)
        data = {key: value for key, value in settings.items() if key.startswith("DATASETS.")}
        with _named(row):
            if _is_supervised(row.config, *as_words(data, {"seed": str(definition.seeds[0])})):
                found.add(row.system)
    return found


@lru_cache(maxsize=None)
def _is_supervised(config: str, *options: str) -> bool:
    cfg = load_config(config, options)
    own = get_vocabulary(cfg.DATASETS.TEST[0])
    names = trained_names(cfg.DATASETS.TRAIN)
    trained = Vocabulary.from_trained(own.names, own.prompt_names, names)
    return not all(own.seen) and all(trained.seen)


@contextmanager
def _named(row: Row) -> Iterator[None]:
    """Mistakes name the row, whose settings are given to programs as options."""
    try:
        yield
    except UserError as error:
        mistake = str(error).removeprefix("command-line options: ")
        raise UserError(f"{row.where}: {mistake}") from error
