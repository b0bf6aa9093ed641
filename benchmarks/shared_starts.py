"""What workers cost that share their start, against others: cpu seconds, and memory of their own.

    python benchmarks/shared_starts.py --python .venv-ipex/bin/python --model DIRECTORY

Each mode (no, imports, model) starts N workers with the same model, engine ipex, bf16; two cpus are enough, for what is
measured are the cpu seconds of all processes below the launcher and their anonymous memory (Pss_Anon of smaps_rollup:
what several share is counted once), when the last worker has warmed up, and after further batches. Worker i stands on
cpu i % 2, which no planner would do: the plan is made here and given to make_launch and supervise.

Then two launches stand beside each other, one forked, one not, and take turns at the same batches: cpu seconds of each
worker's batches, and whether every output is the same to the bit.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import psutil
from launch_overhead import ROOT, machine

MODES = ("no", "imports", "model")
SHAPES = ((1, 16), (1, 32), (1, 64), (1, 128), (8, 16), (8, 32), (8, 64), (8, 128), (4, 128))
MOST_OWN = 0.15
BARS = {
    "imports cpu": 0.40, "imports anonymous": 0.40, "model cpu": 0.33, "model anonymous": 0.28,
    "model anonymous later": 0.28, "imports cpu of one": 3.0, "model anonymous of package": 0.35,
}  # fmt: skip

WORKER = """
import hashlib, json, os, resource, sys, time
from pathlib import Path
import torch
import transformers
{engine}
from ipexlaunch import worker
from ipexlaunch.worker import template
from ipexlaunch.models.engines.candidate import floating
from ipexlaunch.models.engines.model_job import ModelJob
from ipexlaunch.models.run.batches import make_inputs
from ipexlaunch.models.run.load_model import load_model
from ipexlaunch.models.run.prepare import Prepared, prepare
from ipexlaunch.models.run.run_task import run_task

if sys.argv[2:] == ["package"]:  # as torch's own loader has it: a copy of the program, and one of its weights
    from ipexlaunch.models.run import compile_program
    compile_program.can_load_in_place = lambda path: False

place = Path(sys.argv[1])
job = ModelJob(model="{model}", task="{task}", batch_size=8, input_tokens=128, new_tokens=16,
               candidate=floating("{name}", "bf16"), cache="{cache}")
loaded = load_model(job)
inputs = make_inputs(job, loaded)
if {as_script}:
    model = torch.nn.Module.eval(loaded.model)
    model = intel_extension_for_pytorch.optimize(model, dtype=torch.bfloat16)
    bf16 = lambda: torch.autocast("cpu", dtype=torch.bfloat16)
    prepared = Prepared(model=model, candidate=job.candidate, context=bf16)
else:
    prepared = prepare(loaded.model, job.candidate, inputs.batches[0], job.task, new_tokens=16, cache=job.cache)
del loaded
batches = [{{k: v[:rows, :length].contiguous() for k, v in inputs.batches[0].items()}} for rows, length in {shapes}]

def digest(batch):
    return run_task(prepared, job.task, batch, 16).answer

if template.mode():  # as the built-in workers do
    for batch in batches:
        digest(batch)
worker.split()

def step(count):
    began = time.process_time()
    for _ in range(count):
        answer = digest(batches[-1])
    return {{"cpu_s": time.process_time() - began,
            "digest": hashlib.sha256(answer.float().numpy().tobytes()).hexdigest()}}

for batch in batches:
    digest(batch)
worker.ready()
index = os.environ["IPEXLAUNCH_INDEX"]
done = 0
(place / f"ready-{{index}}").touch()
while not (place / "end").exists():
    asked = place / f"step-{{done}}"
    if not asked.exists():
        time.sleep(0.02)
        continue
    told = step(int(asked.read_text()))
    worker.count(1)
    (place / f".{{index}}").write_text(json.dumps(told))
    os.rename(place / f".{{index}}", place / f"answer-{{done}}-{{index}}")
    done += 1
"""

LAUNCHER = """
import os, sys
from dataclasses import replace
from ipexlaunch.cli.run.make_job import workers_module_path
from ipexlaunch.launch.bind import adopt_orphans, held_to
from ipexlaunch.launch.job import Job
from ipexlaunch.launch.lifecycle import Limits
from ipexlaunch.launch.make_launch import make_launch
from ipexlaunch.launch.placement.inspect_workers import Inspector
from ipexlaunch.launch.share_start import Sharing, share_start
from ipexlaunch.launch.supervise import SupervisorCallbacks, supervise
from ipexlaunch.machine.proc_files import descendants
from ipexlaunch.plan.plan import Instance, Plan

python, script, place, count, mode = sys.argv[1:]
cpus = sorted(os.sched_getaffinity(0))
instances = tuple(Instance(index=i, cpus=frozenset([cpus[i % len(cpus)]]), nodes=frozenset([0]), threads=1,
                           memory="bind") for i in range(int(count)))
arguments, mode = ((place, "package"), "no") if mode == "package" else ((place,), mode)
job = Job(program=script, arguments=arguments, python=python, module_path=workers_module_path(),
          environment={"TORCH_WARM_POOL": "0"})
launch = make_launch(Plan(topology="made", instances=instances), job, os.environ)
templates, why = ((), "") if mode == "no" else share_start(launch, mode, os.environ)
if why:
    print(why, file=sys.stderr)
inspector = Inspector()
callbacks = SupervisorCallbacks(bind_thread=lambda *words: held_to(*words, strict=False), read_placement=inspector,
                                read_placement_if_cheap=inspector.glance, descendants=descendants,
                                oom_kills=lambda: None,
                                tell=lambda text: print(text, file=sys.stderr))
adopt_orphans()
run = supervise(launch, callbacks, os.environ, Limits(), sharing=Sharing(templates=templates))
print(run.notes, file=sys.stderr)
sys.exit(run.exit_code)
"""


class Started:
    """One launch that is ready."""

    def __init__(self, options: argparse.Namespace, count: int, mode: str, folder: Path) -> None:
        self.place, self.count, self.steps = folder, count, 0
        engine = {"ipex": "import intel_extension_for_pytorch", "torch": "import torchao"}.get(options.engine, "")
        script = folder / "worker.py"
        script.write_text(WORKER.format(engine=engine, model=options.model, name=options.engine,
                                        task=options.task, cache=options.cache, shapes=list(SHAPES),
                                        as_script=options.job == "script"))  # fmt: skip
        words = [sys.executable, "-c", LAUNCHER, options.python, str(script), str(folder), str(count), mode]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(words, env=env)
        self.wait("ready-{}")

    def wait(self, name: str) -> None:
        """Return when each worker has left a file of that name."""
        while any(not (self.place / name.format(i)).exists() for i in range(self.count)):
            if self.process.poll() is not None:
                raise SystemExit("shared_starts: a launch has ended before its workers were ready")
            time.sleep(0.1)

    def step(self, batches: int) -> list[dict[str, object]]:
        """Let every worker do as many batches; what each says of them."""
        asked = self.place / f"step-{self.steps}"
        (self.place / ".step").write_text(str(batches))
        os.rename(self.place / ".step", asked)
        self.wait(f"answer-{self.steps}-{{}}")
        answers = [json.loads((self.place / f"answer-{self.steps}-{i}").read_text()) for i in range(self.count)]
        self.steps += 1
        return answers

    def figures(self) -> dict[str, float]:
        """Cpu seconds and MiB of all processes below the launcher."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        below = [each for each in below if "python" in each.name()]
        cpu = sum(each.cpu_times().user + each.cpu_times().system for each in below)
        return {"cpu_s": cpu, "anonymous_mib": sum(rollup(each.pid, "Pss_Anon:") for each in below) / 2**20}

    def own_of_a_worker(self) -> float:
        """The most bytes that a worker has written itself, so that no other process has them."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        workers = [each for each in below if str(self.place) in each.cmdline()]
        workers = [each for each in workers if "IPEXLAUNCH_TEMPLATE" not in each.environ()]
        return max(rollup(each.pid, "Private_Dirty:") for each in workers)

    def end(self) -> None:
        """Have the workers leave."""
        (self.place / "end").touch()
        if self.process.wait():
            raise SystemExit("shared_starts: a launch has failed")


def rollup(pid: int, name: str) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return next(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith(name))


@contextmanager
def started(options: argparse.Namespace, count: int, mode: str) -> Iterator[Started]:
    with tempfile.TemporaryDirectory() as folder:
        launch = Started(options, count, mode, Path(folder))
        try:
            yield launch
        finally:
            launch.end()


def main() -> int:
    options = parse_options()
    found: dict[str, dict[str, float]] = {}
    for count in (1, options.ninstances):
        packages = ("package",) * (options.engine == "torch")
        for mode in (*packages, *MODES) if count > 1 else ("no",):
            with started(options, count, mode) as launch:
                figures = launch.figures()
                launch.step(options.batches)
                figures["anonymous_mib_later"] = launch.figures()["anonymous_mib"]
                found[f"{count} {mode}"] = figures
                print(f"shared_starts: {count} workers, {mode}: {figures}", file=sys.stderr)
    ratios, bit_identical, own = compare_speed(options) if options.alternations else ([], None, 0.0)
    print("| workers | shared | cpu s to ready | anonymous MiB | after more batches |\n|---|---|---|---|---|")
    for name, figures in found.items():
        count, mode = name.split()
        print(f"| {count} | {mode} | {' | '.join(f'{value:.1f}' for value in figures.values())} |")
    many = options.ninstances
    alone, spawned = found["1 no"], found[f"{many} no"]
    shares = {}
    if options.engine == "torch":
        before = found[f"{many} package"]["anonymous_mib"]
        shares["model anonymous of package"] = found[f"{many} model"]["anonymous_mib"] / before
    for mode in MODES[1:]:
        shares[f"{mode} cpu"] = found[f"{many} {mode}"]["cpu_s"] / spawned["cpu_s"]
        shares[f"{mode} anonymous"] = found[f"{many} {mode}"]["anonymous_mib"] / spawned["anonymous_mib"]
        later = found[f"{many} {mode}"]["anonymous_mib_later"] / spawned["anonymous_mib_later"]
        shares[f"{mode} anonymous later"] = later
    shares["imports cpu of one"] = found[f"{many} imports"]["cpu_s"] / alone["cpu_s"]
    failed = False
    for name, share in shares.items():
        bar = BARS.get(name)
        failed |= bar is not None and share > bar
        print(f"{name}: {share:.3f}" + (f" (at most {bar})" if bar is not None else ""))
    if ratios:
        print(f"batches of forked workers, cpu seconds, of others': median {median(ratios):.4f} of {len(ratios)} turns"
              f" (at most {1 / 0.99:.4f}); outputs the same to the bit: {bit_identical}")  # fmt: skip
        print(f"a forked worker's own memory after {5 * options.alternations} batches, of another's: {own:.3f}"
              f" (at most {MOST_OWN})")  # fmt: skip
        failed |= median(ratios) > 1 / 0.99 or not bit_identical or own > MOST_OWN
    options.output.parent.mkdir(parents=True, exist_ok=True)
    record = {"schema": "ipexlaunch/benchmark-shared-starts/1", "machine": machine(), "starts": found, "ratios": ratios,
              "options": {name: str(value) for name, value in vars(options).items()}}  # fmt: skip
    options.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return int(failed)


def compare_speed(options: argparse.Namespace) -> tuple[list[float], bool, float]:
    """Cpu seconds of forked workers' batches over those of others, turn by turn; whether all outputs were the same; a
    forked worker's own memory over another's."""
    ratios, digests = [], set()
    with started(options, 2, "no") as alone, started(options, 2, "model") as forked:
        for turn in range(options.alternations):
            answers: dict[str, Sequence[dict[str, object]]] = {}
            for name, launch in [("no", alone), ("model", forked)][:: 1 if turn % 2 else -1]:
                answers[name] = launch.step(5)
                digests |= {answer["digest"] for answer in answers[name]}
            ratios.append(cost(answers["model"]) / cost(answers["no"]))
        own = forked.own_of_a_worker() / alone.own_of_a_worker()
    return ratios, len(digests) == 1, own


def cost(answers: Sequence[dict[str, object]]) -> float:
    return sum(float(str(answer["cpu_s"])) for answer in answers)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--python", default=".venv-ipex/bin/python", help="the workers' interpreter")
    parser.add_argument(
        "--job",
        default="script",
        choices=("script", "product"),
        help="ipex.optimize as examples/embed.py calls it, or our own preparation, which records graphs",
    )
    parser.add_argument("--engine", default="ipex", choices=("ipex", "torch", "eager"))
    parser.add_argument("--model", default="random:minilm")
    parser.add_argument("--task", default="embed")
    parser.add_argument("--cache", default="", help="of compiled programs (engine torch)")
    parser.add_argument("--ninstances", type=int, default=8)
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--alternations", type=int, default=40)
    parser.add_argument("--output", type=Path, default=ROOT / "runs/shared_starts.json")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
