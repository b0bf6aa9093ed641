"""One copy of the weights for the workers of the same nodes, in processes of their own: alone, and under a launcher."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ipexlaunch.launch.job import Job, Launch, Worker
from ipexlaunch.launch.supervise.shared_files import FILES, SHARED_FILES, shared_files
from ipexlaunch.machine.proc_files import descendants
from ipexlaunch.plan import Instance, Plan, Request
from tests.examples.run_examples import instances_that_fit, launch
from tests.examples.status_channel import without_launcher
from tests.models.run.environments import ENVIRONMENTS, minilm
from tests.worker.safetensors import read_tensors, write_tensors

pytestmark = pytest.mark.process

TENSORS = {
    "a.weight": ("F32", [3, 5], bytes(range(60))),
    "a.count": ("I64", [], b"\7" * 8),
    "nothing": ("F32", [0, 4], b""),
    "half": ("BF16", [1 << 20], b"\x80\x3f" * (1 << 20)),
}
ASK = "import sys; from ipexlaunch import worker; print(worker.shared_weights_file(*sys.argv[1:]), flush=True)"
STAY = f"{ASK}; sys.stdin.read()"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A directory with two files of weights, and one that is none."""
    folder = tmp_path / "model"
    folder.mkdir()
    names = list(TENSORS)
    write_tensors(folder / "model-1.safetensors", {name: TENSORS[name] for name in names[:3]})
    write_tensors(folder / "model-2.safetensors", {name: TENSORS[name] for name in names[3:]})
    (folder / "config.json").write_text("{}")
    return folder


def launch_on(*nodes: int) -> Launch:
    """A worker on each of these nodes."""
    instances = tuple(
        Instance(index=index, cpus=frozenset({index}), nodes=frozenset({node}), threads=1)
        for index, node in enumerate(nodes)
    )
    workers = tuple(Worker(instance=instance, argv=(), environment={"A": "1"}) for instance in instances)
    job = Job(kind="executable", program="true")
    return Launch(plan=Plan(topology="0", request=Request(), instances=instances), job=job, workers=workers)


@pytest.fixture
def launched() -> Iterator[Launch]:
    """Two workers on node 0 and one on node 1, while their launcher lives; this process is that."""
    with shared_files(launch_on(0, 0, 1)) as launch:
        yield launch


def started(worker: Worker, script: str, *words: object) -> subprocess.Popen[str]:
    """The script as this worker."""
    environment = {**without_launcher(os.environ), **worker.environment}
    command = [sys.executable, "-c", script, *map(str, words)]
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def asked(worker: Worker, *words: object) -> str:
    """The path that it is given."""
    out, err = started(worker, ASK, *words).communicate(timeout=60)
    assert err == ""
    return out.strip()


def test_workers_of_the_same_nodes_share_one_file_and_those_of_others_another(launched: Launch, model: Path) -> None:
    together = [started(worker, ASK, model) for worker in launched.workers for _ in range(3)]
    paths = [process.communicate(timeout=60)[0].strip() for process in together]
    assert len(set(paths[:6])) == len(set(paths[6:])) == 1
    assert paths[0] != paths[6]
    for path in (paths[0], paths[6]):
        assert read_tensors(path) == TENSORS
        assert path.startswith(f"/proc/{os.getpid()}/fd/"), (
            "in the launcher, so that it outlives the worker that filled it"
        )
    assert launched.workers[0].environment["A"] == "1"


def test_a_matrix_of_whole_cache_lines_begins_one_and_the_rest_is_aligned_to_its_own_numbers(
    launched: Launch, model: Path
) -> None:
    odd = {"odd": ("U8", [3], b"abc"), "lines": ("F32", [16], bytes(64)), "wide": ("F64", [3], bytes(24))}
    write_tensors(model / "model-0.safetensors", odd)
    path = Path(asked(launched.workers[0], model))
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    entries = json.loads(content[8:start])
    begins = {
        name: (start + entry["data_offsets"][0], entry["data_offsets"][1] - entry["data_offsets"][0])
        for name, entry in entries.items()
        if name != "__metadata__"
    }
    whole = {name: begin % 64 for name, (begin, size) in begins.items() if size and size % 64 == 0}
    assert whole == {"half": 0, "lines": 0}
    assert (begins["a.count"][0] % 8, begins["wide"][0] % 8, begins["a.weight"][0] % 4) == (0, 0, 0)
    ends = sorted((begin, begin + size) for begin, size in begins.values())
    assert [begin for begin, _ in ends] == [start, *(end for _, end in ends[:-1])], "the layout allows no gaps"


def test_the_descriptors_that_a_shell_can_redirect_to_stay_free() -> None:
    lowest = os.open("/dev/null", os.O_RDONLY)
    os.close(lowest)
    with shared_files(launch_on(*range(8))) as launch:
        among = os.open("/dev/null", os.O_RDONLY)
        os.close(among)
        assert among == lowest
        assert len({worker.environment[SHARED_FILES] for worker in launch.workers}) == 8
        (name, *_) = {worker.environment[SHARED_FILES].partition(":")[0] for worker in launch.workers}
        assert have_open(name) == {os.getpid()}
    assert have_open(name) == set()


def test_what_is_there_is_nobodys_to_change(launched: Launch, model: Path) -> None:
    path = asked(launched.workers[0], model)
    with open(path, "r+b", buffering=0) as file, pytest.raises(PermissionError):
        file.write(b"x")
    with pytest.raises(PermissionError):
        os.truncate(path, 0)


def test_a_file_that_its_worker_left_half_full_is_filled_anew(launched: Launch, model: Path) -> None:
    first = launched.workers[0].environment[SHARED_FILES].partition(":")[2].split(",")[0]
    half = (
        "import fcntl, sys; file = open(sys.argv[1], 'r+b', buffering=0); fcntl.flock(file, fcntl.LOCK_EX)\n"
        "file.write(b'x' * 10_000_000); print(flush=True); sys.stdin.read()"
    )
    with started(launched.workers[0], half, first) as filling:
        assert filling.stdout is not None
        filling.stdout.readline()
        waiting = started(launched.workers[1], ASK, model)
        while not re.search(rf"-> FLOCK .* {waiting.pid} ", Path("/proc/locks").read_text()) and waiting.poll() is None:
            time.sleep(0.02)
        assert waiting.poll() is None, "it waits for the one that fills"
        filling.kill()
    assert waiting.communicate(timeout=60)[0].strip() == first
    assert read_tensors(first) == TENSORS


def test_each_directory_and_type_has_a_file_as_long_as_there_are_some(launched: Launch, model: Path) -> None:
    models = [model]
    for place in range(FILES):
        models.append(model.with_name(f"model-{place}"))
        models[-1].mkdir()
        write_tensors(models[-1] / "m.safetensors", {"a": ("U8", [1], bytes([place]))})
    paths = [asked(launched.workers[0], folder) for folder in models]
    assert len(set(paths)) == FILES + 1
    assert [asked(launched.workers[1], folder) for folder in models[:FILES]] == paths[:FILES]
    assert not paths[FILES].startswith(f"/proc/{os.getpid()}/"), "the last one is the worker's own"


def test_weights_that_have_changed_are_other_weights(launched: Launch, model: Path) -> None:
    before = asked(launched.workers[0], model)
    write_tensors(model / "model-1.safetensors", {"a.weight": ("F32", [1], b"\1\2\3\4")})
    after = asked(launched.workers[1], model)
    assert read_tensors(before) == TENSORS
    assert read_tensors(after)["a.weight"] == ("F32", [1], b"\1\2\3\4")


@pytest.mark.parametrize(
    "told", [None, "", "ipexlaunch-0:/proc/1/fd/0,/proc/nobody/fd/1"], ids=["none", "empty", "gone"]
)
def test_on_its_own_or_out_of_reach_a_script_loads_for_itself(model: Path, told: str | None) -> None:
    (worker,) = launch_on(0).workers
    alone = started(replace(worker, environment={} if told is None else {SHARED_FILES: told}), STAY, model)
    assert alone.stdout is not None
    path = alone.stdout.readline().strip()
    assert path.startswith(f"/proc/{alone.pid}/fd/")
    assert read_tensors(path) == TENSORS
    assert alone.communicate() == ("", "")


def damaged(model: Path, what: str) -> None:
    file = model / "model-1.safetensors"
    if what == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    elif what == "header":
        file.write_bytes(b"\xff" * 100)
    elif what == "twice":
        (model / "copy.safetensors").write_bytes(file.read_bytes())
    elif what == "size":
        write_tensors(file, {"a": ("F32", [2], bytes(9))})
    elif what == "type":
        write_tensors(file, {"a": ("F4", [2], bytes(1))})
    elif what == "none":
        for other in model.glob("*.safetensors"):
            other.unlink()


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("cut", "model-1.safetensors: its tensor a.count cannot be read: I64 .. in bytes 60 to 68 of 67"),
        ("header", "model-1.safetensors is no safetensors file, or was cut short: its header would have"),
        ("twice", "a.weight is in .*copy.safetensors and .*model-1.safetensors; keep one of them"),
        ("size", r"its tensor a cannot be read: F32 \[2\] in bytes 0 to 9 of 9"),
        ("type", r"its tensor a cannot be read: F4 \[2\]"),
        ("none", r"holds no \*.safetensors; model.save_pretrained"),
        ("dtype", "dtype='int3'.*: it can be fp32, bf16, fp16"),
    ],
)
def test_what_cannot_be_loaded_is_said(launched: Launch, model: Path, what: str, words: str) -> None:
    damaged(model, what)
    out, err = started(launched.workers[0], ASK, model, *(["int3"] if what == "dtype" else [])).communicate(timeout=60)
    assert out == ""
    assert re.search(f"^ValueError: .*{words}", err, re.MULTILINE), err


FILL_AND_STAY = """
import os, sys, time
from ipexlaunch import worker
path = worker.shared_weights_file(sys.argv[1])
with open(path, "rb") as kept:
    print(os.getpid(), os.readlink(path).split()[0], flush=True)
    time.sleep(99)
"""


def have_open(name: str) -> set[int]:
    """The processes that have a file of this name open."""
    found: set[int] = set()
    for link in glob.glob("/proc/[0-9]*/fd/*"):
        with contextlib.suppress(OSError):  # it was closed, or its process has ended
            if name in os.readlink(link):
                found.add(int(link.split("/")[2]))
    return found


def test_nothing_is_left_where_launcher_guardian_and_workers_are_killed_at_once(model: Path, tmp_path: Path) -> None:
    script, named = tmp_path / "script.py", set(os.listdir("/dev/shm"))
    script.write_text(FILL_AND_STAY)
    command = [sys.executable, "-m", "ipexlaunch", "run", "--ninstances", str(instances_that_fit())]
    environment = {**without_launcher(os.environ), "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [*command, script, model], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as launcher:
        assert launcher.stdout is not None
        told = [launcher.stdout.readline().decode().split() for _ in range(instances_that_fit())]
        assert {name for *_, name in told} == {told[0][-1]}, "all on one node share one file"
        name = told[0][-1]
        below = descendants(launcher.pid, "/proc")
        workers = {int(pid) for *_, pid, _ in told}
        assert have_open(name) == {launcher.pid, *workers}
        assert workers <= set(below)
        assert len(below) > len(told), "the guardian too"
        for pid in (launcher.pid, *below):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while have_open(name) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert have_open(name) == set()
    assert not [left for left in set(os.listdir("/dev/shm")) - named if "ipexlaunch" in left]
    assert sorted(place.name for place in tmp_path.iterdir()) == ["model", "script.py"]


COMPUTE = """
import ctypes, re, sys
import torch
from transformers.models.bert.modeling_bert import BertConfig, BertModel
from ipexlaunch import worker

def own_kb():
    ctypes.CDLL(None).malloc_trim(0)  # what was read and freed is nobody's
    return int(re.search(r"RssAnon:\\s+(\\d+)", open("/proc/self/status").read())[1])

directory, dtype = sys.argv[1:]
kind = torch.bfloat16 if dtype else torch.float32
config = BertConfig.from_pretrained(directory)
BertModel(BertConfig(hidden_size=12, num_hidden_layers=1, intermediate_size=8))
before = own_kb()
shared = worker.shared_weights(directory, dtype)
model = BertModel.from_pretrained(None, config=config, state_dict=shared, torch_dtype=kind).eval()
grown = own_kb() - before
inputs = torch.arange(64).view(2, 32) + 1000
exact = BertModel.from_pretrained(directory, torch_dtype=kind).eval()
with torch.no_grad():
    same = torch.equal(model(inputs).last_hidden_state, exact(inputs).last_hidden_state)
model.embeddings.word_embeddings.weight.data[0] = 3.0
worker.ready()  # whatever one has written the other does not see
worker.tell(
    same=same,
    grown_kb=grown,
    weights_kb=sum(parameter.nbytes for parameter in model.parameters()) >> 10,
    place=re.search(r"file=/memfd:(\\S+)", open("/proc/self/numa_maps").read())[1],
    pad=float(worker.shared_weights(directory, dtype)["embeddings.word_embeddings.weight"][0].abs().sum()),
)
worker.count()
worker.finish()
"""


@pytest.mark.slow
@pytest.mark.parametrize("python", ENVIRONMENTS)
@pytest.mark.parametrize("dtype", ["", "bf16"])
def test_a_model_answers_the_same_from_shared_weights_and_has_no_memory_of_its_own_for_them(
    python: Callable[[], str], dtype: str, tmp_path: Path
) -> None:
    interpreter, script = python(), tmp_path / "script.py"
    script.write_text(COMPUTE)
    words = ["--python", interpreter, "--memory-allocator", "default", str(script), minilm(interpreter), dtype]
    facts = [instance["facts"] for instance in launch(tmp_path, *words)["instances"]]
    assert all(told["same"] for told in facts)
    assert len({told["place"] for told in facts}) == 1, "one copy"
    least = min(told["grown_kb"] / told["weights_kb"] for told in facts)
    assert least < 0.15, "who did not fill it; the other has read and converted it"
    assert {told["pad"] for told in facts} == {facts[0]["pad"]} != {3.0 * 384}
