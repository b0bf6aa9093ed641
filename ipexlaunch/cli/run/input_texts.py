"""The first texts of a batch job's input in a file that its workers can read, for as long as the command lasts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory

from ipexlaunch.batch.input.first_texts import first_texts
from ipexlaunch.batch.items import DeadLetter, Item
from ipexlaunch.cli.run.make_job import OWN_WORKERS
from ipexlaunch.launch.job import Job
from ipexlaunch.models.engines.model_job import ModelJob, is_random


@dataclass(frozen=True, kw_only=True)
class InputTexts:
    """Where the texts lie; not part of a job's identity, because the same input gives them again when it is resumed."""

    path: str = ""
    """"" where there are none: text is then generated."""
    name: str = ""

    def of_model(self, job: ModelJob) -> ModelJob:
        """The job on these texts."""
        return replace(job, text=self.path, text_name=self.name)

    def of_program(self, job: Job) -> Job:
        """The built-in worker on these texts, whichever it had; another program is left as it is."""
        if not job.program.startswith(OWN_WORKERS):
            return job
        try:
            model = ModelJob.from_json(job.arguments[0])
        except (ValueError, TypeError, KeyError, IndexError):
            return job
        return replace(job, arguments=(self.of_model(model).to_json(),))


NO_TEXTS = InputTexts()


@contextmanager
def input_texts(items: Iterable[Item | DeadLetter], source: str, model: str | None) -> Iterator[InputTexts]:
    """Keep the first texts of an input in a file of this user's alone, which goes at the end.

    Args:
        items: of the input, from its beginning.
        source: what the input is called.
        model: that is measured on them; one of random weights has no tokenizer for them.
    """
    texts = [] if model is None or is_random(model) else first_texts(items)
    if not texts:
        yield NO_TEXTS
        return
    with TemporaryDirectory(prefix="ipexlaunch-texts-") as directory:
        path = os.path.join(directory, "first-texts.txt")
        with open(path, "wb") as file:
            file.writelines(text.encode(errors="replace") + b"\n" for text in texts)
        yield InputTexts(path=path, name=f"the first {len(texts)} texts of {source}")
