"""From tables to runs: rows with the same training share it, rows with the same evaluation too."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from zsk.benchmark.rows import Commands, Definition, Row, Settings, describe
from zsk.benchmark.runs import Job, Kind
from zsk.data.register import get_vocabulary
from zsk.errors import UserError
from zsk.load import config_hash, load_config, trained_names
from zsk.vocabulary import Vocabulary

_ROOT = Path(__file__).resolve().parents[2]
_DIGITS = 12  # of a hash in a folder's name


@dataclass(frozen=True)
class Trial:
    """One row with one seed.

    Attributes:
        row, seed: see there.
        train: the run that trained it, None for an untrained row.
        evaluate: the run whose scores count, `train` where its own last evaluation does.
        cfg: the configuration of `evaluate`.
        vocabulary: of the test data set's own split, whatever the row was trained on.
        supervised: the row was trained on every class of a split with unseen ones.
    """

    row: Row
    seed: int
    train: Job | None
    evaluate: Job
    cfg: CfgNode
    vocabulary: Vocabulary
    supervised: bool

    @property
    def dataset(self) -> str:
        return self.cfg.DATASETS.TEST[0]


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
        common_needs = self._prepare(definition.prepare, self._common, "prepare")
        self.trials = []
        for row in definition.selected_rows():
            for seed in definition.seeds[: row.seeds if row.trained else 1]:
                try:
                    self.trials.append(self._trial(row, seed, common_needs))
                except UserError as error:
                    raise UserError(f"{row.where}: {error}") from error
        self.jobs = list(self._jobs.values())

    def _trial(self, row: Row, seed: int, common_needs: tuple[Path, ...]) -> Trial:
        places = {**self._common, "seed": str(seed), "config": row.config}
        what = f"prepare {row.system}"
        needs = common_needs + self._prepare(row.prepare, places, what, common_needs)
        options = _words(self._training_settings(row), places)
        options += ["SEED", str(seed), "TEST.DUMP", "['png']"]
        cfg = load_config(row.config, options)
        if len(cfg.DATASETS.TEST) != 1:
            raise UserError(f"DATASETS.TEST is {tuple(cfg.DATASETS.TEST)}: name one data set")
        stem = f"{Path(row.config).stem}-{config_hash(cfg)[:_DIGITS]}"
        folder = self._work / "runs" / stem
        name = f"{row.system} {describe(row.settings)}".rstrip() + f", seed {seed}"
        if row.trained:
            train = self._job("train", f"train {name}", folder, row.config, options, needs)
        else:
            train = None
        evaluate, training = train, config_hash(cfg)
        options += _words(row.evaluate, places)
        cfg = load_config(row.config, options)
        if train is None:
            evaluate = self._job("evaluate", f"evaluate {name}", folder, row.config, options, needs)
        elif config_hash(cfg) != training:  # else the training's own last evaluation is this one
            folder = folder / "evaluations" / config_hash(cfg)[:_DIGITS]
            options += ["MODEL.WEIGHTS", str(train.folder / "model_final.pth")]
            name = f"evaluate {name}, {describe(row.evaluate)}"
            evaluate = self._job(
                "evaluate", name, folder, row.config, options, (train.folder, *needs)
            )
        assert evaluate is not None
        vocabulary = get_vocabulary(cfg.DATASETS.TEST[0])
        supervised = row.trained and _trained_on_all(vocabulary, cfg)
        return Trial(row, seed, train, evaluate, cfg, vocabulary, supervised)

    def _training_settings(self, row: Row) -> dict[str, Any]:
        iterations = self._definition.iterations
        budget = {} if iterations is None else {"SOLVER.MAX_ITER": iterations}
        return {**self._definition.settings, **budget, **row.settings}

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
        job = Job(name, kind, folder, _ROOT / "train_net.py", arguments, needs)
        return self._jobs.setdefault(folder, job)

    def _prepare(
        self,
        commands: Commands,
        places: dict[str, str],
        what: str,
        needs: tuple[Path, ...] = (),
    ) -> tuple[Path, ...]:
        """Plan preparations and add their outputs to `places`, under their names.

        Each waits for `needs` and for those before it. Returns the folders of these preparations.
        """
        folders: list[Path] = []
        for name, words in commands.items():
            # what is written depends on the words and on the configuration that they name
            # and not on where the checkout lies, where its work folder stays
            unplaced = {**places, "output": "{output}", "config": "{config}"}
            content = [_fill(word, unplaced) for word in words]
            if "config" in places and any("{config}" in word for word in words):
                content.append(config_hash(load_config(places["config"])))
            digest = hashlib.sha256("\0".join(content).encode()).hexdigest()[:_DIGITS]
            folder = self._work / "prepared" / f"{name}-{digest}"
            output = str(folder / name)
            program = _ROOT / words[0]
            if not program.is_file():
                raise UserError(f"prepare.{name}: there is no program {words[0]}")
            arguments = tuple(_fill(word, {**places, "output": output}) for word in words[1:])
            job = Job(f"{what}: {name}", "prepare", folder, program, arguments, (*needs, *folders))
            self._jobs.setdefault(folder, job)
            places[name] = output
            folders.append(folder)
        return tuple(folders)


def _words(settings: Settings, places: Mapping[str, str]) -> list[str]:
    """Configuration keys and values as words of a command line."""
    return [word for key, value in settings.items() for word in (key, _fill(str(value), places))]


def _fill(text: str, places: Mapping[str, str]) -> str:
    """Replace {name} by `places[name]`."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in places:
            raise UserError(
                f"{text!r} has the placeholder {match[0]}: known are {', '.join(places)}"
            )
        return places[match[1]]

    return re.sub(r"\{(\w+)\}", value, text)


def _trained_on_all(vocabulary: Vocabulary, cfg: CfgNode) -> bool:
    """Whether a split has unseen classes, and the model saw masks of all of them."""
    names, prompts = vocabulary.names, vocabulary.prompt_names
    trained = Vocabulary.from_trained(names, prompts, trained_names(cfg))
    return not all(vocabulary.seen) and all(trained.seen)
