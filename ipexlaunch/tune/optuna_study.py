"""A study in a journal file: every finished run is one trial of it, and Optuna's sampler proposes settings from them.

Whoever opens a journal keeps other processes away from it. A line that a killed process has left half written is cut
off then: its run was not finished. Any other line that is missing or damaged would have runs repeated in silence; so
the first one must begin the study, and its runs are numbered.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ipexlaunch.documents.codec import from_plain, to_plain
from ipexlaunch.errors import LaunchError
from ipexlaunch.errors.how_to_add import how_to_add
from ipexlaunch.tune.space import Setting, Space
from ipexlaunch.tune.trial import Trial, log_rate

if TYPE_CHECKING:
    import optuna

WRITABLE = "set XDG_STATE_HOME to a directory that can be written"

LONGEST_WORDS = 200
"""Characters of what Optuna says of a journal that it cannot read."""

NAME = "tune"

BEGINS = 0
"""The op_code of the line that begins a study (optuna.storages.journal: JournalOperation.CREATE_STUDY)."""

RUN = "run"
"""The attribute of a trial that holds its run."""

NUMBER = "number"
"""The attribute of a trial that says how many runs there were before it."""

FAILED = -1e9
"""Value of a run that does not count: below every logarithm of a rate, so that the sampler keeps away."""

TRIES = 24
"""Proposals that are asked for before one is welcome; most that are not were tried already."""

BEGINNING = 8
"""Trials before the sampler's model is used, Optuna's n_startup_trials: a start is made by the search itself."""


class OptunaStudy:
    """A study that is open; see `open_study`."""

    def __init__(self, study: optuna.Study, space: Space, seed: int) -> None:
        """Take over the runs that the study has.

        Args:
            study: Optuna's.
            space: what may be tried.
            seed: of the sampler.

        Raises:
            ValueError: a run is none, none of this space, or missing.
        """
        self._study, self._space, self._seed = study, space, seed
        self._distributions = _distributions(space)
        trials = study.get_trials(deepcopy=False)
        kept = [trial.user_attrs for trial in trials if RUN in trial.user_attrs]
        for number, attributes in enumerate(kept):
            if attributes.get(NUMBER, number) != number:
                raise ValueError(f"run {number} is missing")
        self._history = [self._run_of(attributes[RUN]) for attributes in kept]

    @property
    def history(self) -> Sequence[Trial]:
        """Every run so far, those of former sessions first."""
        return tuple(self._history)

    def record(self, run: Trial) -> None:
        """Keep a run; it is on the disk when this returns.

        Args:
            run: any, also one that does not count.

        Raises:
            LaunchError: it cannot be written.
        """
        from optuna.trial import create_trial

        trial = create_trial(
            params=self._parameters(run.setting),
            distributions=self._distributions,
            value=log_rate(run) if run.counts else FAILED,
            user_attrs={RUN: to_plain(run), NUMBER: len(self._history)},
        )
        with _written():
            self._study.add_trial(trial)
        self._history.append(run)

    def propose(self, welcome: Callable[[Setting], bool]) -> Setting | None:
        """A setting of the sampler's that is welcome; None where it finds none.

        Args:
            welcome: whether a setting may be tried.

        Raises:
            LaunchError: the journal cannot be written.
        """
        from optuna.trial import TrialState

        self._study.sampler = _sampler(self._seed + len(self._history))
        for _ in range(TRIES):
            with _written():
                trial = self._study.ask(self._distributions)
                # What is proposed is forgotten at once; if it is run, the run is a trial of its own.
                self._study.tell(trial, state=TrialState.FAIL)
            setting = self._setting(trial.params)
            if welcome(setting):
                return setting
        return None

    def _run_of(self, row: Any) -> Trial:
        run = from_plain(row, Trial, complete=True)
        strange = [axis.name for axis in self._space.axes if getattr(run.setting, axis.name) not in axis.choices]
        if strange:
            raise ValueError(f"a run has a {strange[0]} that may not be tried")
        return run

    def _parameters(self, setting: Setting) -> dict[str, Any]:
        return {
            axis.name: axis.choices.index(getattr(setting, axis.name)) if axis.ordered else getattr(setting, axis.name)
            for axis in self._space.axes
        }

    def _setting(self, parameters: dict[str, Any]) -> Setting:
        chosen = {
            axis.name: axis.choices[parameters[axis.name]] if axis.ordered else parameters[axis.name]
            for axis in self._space.axes
        }
        return Setting(**chosen)


@contextlib.contextmanager
def _written() -> Iterator[None]:
    """What Optuna does in here is on disk at its end, or an error says that it is not."""
    try:
        yield
    except OSError as error:
        found = f"{error.strerror}; the runs before this one are kept"
        raise LaunchError("keep the study", found, "make room and say the same again") from None


def open_study(path: str, space: Space, seed: int = 0, *, fresh: bool = False) -> OptunaStudy:
    """The study that a journal holds, or a new one.

    Args:
        path: of the journal, made where it is not there, and held by the caller; "" for a study that is not kept.
        space: what may be tried; the caller keeps journals of unlike spaces apart.
        seed: of the sampler.
        fresh: forget what the journal holds.

    Raises:
        LaunchError: Optuna is not installed, or the journal cannot be written or read.
    """
    optuna = require_optuna()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage: Any = optuna.storages.InMemoryStorage()
    # Of the journal, which is ours already; Optuna's own locks are files, which a killed process leaves behind.
    lock: Any = threading.Lock()
    try:
        if path:
            from optuna.storages.journal import JournalFileBackend

            _cut_half_a_line(path, fresh)
            _check_lines(path)
            storage = optuna.storages.JournalStorage(JournalFileBackend(path, lock_obj=lock))
        if path and os.path.getsize(path):
            study = optuna.load_study(study_name=NAME, storage=storage)
        else:
            study = optuna.create_study(study_name=NAME, storage=storage, direction="maximize")
        return OptunaStudy(study, space, seed)
    except OSError as error:
        raise LaunchError(f"keep the study in {path}", str(error.strerror), WRITABLE) from None
    except Exception as error:  # whatever Optuna makes of lines that it has not written
        words = " ".join(str(error).split())[:LONGEST_WORDS]
        kind = "" if type(error) is ValueError else f"{type(error).__name__}: "  # ours says it by itself
        found = f"it cannot be read ({kind}{words})"
        raise LaunchError(f"resume the study in {path}", found, "start over with --fresh") from None


def require_optuna() -> Any:
    """The library, so that a search is refused before anything is measured.

    Raises:
        LaunchError: it is not installed.
    """
    try:
        import optuna
    except ImportError:
        found = "the package optuna is not installed beside ipexlaunch"
        raise LaunchError("search for the best setting", found, how_to_add("tune")) from None
    return optuna


def _cut_half_a_line(path: str, fresh: bool) -> None:
    """Make the journal where there is none, and cut off a line that is not complete; with `fresh`, all of them."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "ab+") as file:
        file.seek(0)
        file.truncate(0 if fresh else file.read().rfind(b"\n") + 1)


def _check_lines(path: str) -> None:
    """Find out what Optuna would pass over: lines of no study, of which it takes none.

    Raises:
        ValueError: a line is none of a journal, or the first one begins no study.
    """
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            code = row.get("op_code") if isinstance(row, dict) else None
            if not isinstance(code, int):
                raise ValueError(f"line {number} is none of a study")
            if number == 1 and (code != BEGINS or row.get("study_name") != NAME):
                raise ValueError("line 1 begins no study: what stood before it is lost")


def _sampler(seed: int) -> Any:
    """Optuna's tree-structured Parzen estimator over all axes at once (Bergstra et al. 2011; Falkner et al. 2018).

    It is rebuilt for each proposal from the number of runs, so that an interrupted search proposes what the same
    search without interruption would have proposed.
    """
    from optuna.exceptions import ExperimentalWarning
    from optuna.samplers import TPESampler

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # of `multivariate`, which has been one since 2020
        return TPESampler(multivariate=True, n_startup_trials=BEGINNING, seed=seed)


def _distributions(space: Space) -> dict[str, Any]:
    from optuna.distributions import CategoricalDistribution, IntDistribution

    return {
        axis.name: IntDistribution(0, len(axis.choices) - 1) if axis.ordered else CategoricalDistribution(axis.choices)
        for axis in space.axes
    }
