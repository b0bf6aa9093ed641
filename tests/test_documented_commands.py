"""Every command of every page works as it is typed there: the options are there, agree, and do what is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documented_commands import MACHINE, NOT_RUN, REFRESHED, ROOT, Shown, shown_in
from tests.report.page.made_runs import keep_made_run

PAGES = sorted(
    {
        ROOT / "README.md",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "examples").rglob("README.md"),
        ROOT / "topologies/README.md",
    }
)
SHOWN = [shown for page in PAGES for shown in shown_in(page)]
OURS = [shown for shown in SHOWN if shown.program not in NOT_RUN]

IN_EXAMPLES = "examples/"
"""Pages below have their commands run by `make outputs`, in the environments that they name."""

FAILS_HERE = {
    "ipexlaunch --ninstances 4 --auto-ipex --dtype bf16 --count-calls script.py": "needs IPEX",
    "ipexlaunch doctor --model /models/llama": "there is no such model",
    "ipexlaunch doctor --pid 4711": "there is no such process",
    "ipexlaunch doctor --python /env/bin/python": "there is no such environment",
    "ipexlaunch doctor --root saved/": "there is no such tree",
}
"""Commands that name what only a reader has."""

KEPT_RUNS = ("monday", "4x14-1", "4x14-2", "8x7-1", "8x7-2", "0", "1", "2", "x", "alone")
"""Run directories that pages look at."""

ITEMS = [{"id": f"a{number}", "body": "a text", "text": "a text"} for number in range(3)]
SCRIPT = """
import os
from ipexlaunch import worker
if "IPEXLAUNCH_BATCHES" in os.environ:
    for batch in worker.batches():
        batch.done([len(str(item)) for item in batch.items])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the pages name, in one folder, and a stand-in of `ipexlaunch` first on PATH."""
    folder = tmp_path / "pages"
    folder.mkdir()
    for name in KEPT_RUNS:
        keep_made_run(folder / "runs" / name, MACHINE, 2, seconds=5)
    for name in ("app.py", "script.py", "fixed.py", "other.py", "embed.py", "work.py", "tqdm_script.py"):
        (folder / name).write_text(SCRIPT)
    for name in ("items.jsonl", "requests.jsonl", "corpus.jsonl"):
        (folder / name).write_text("".join(f"{json.dumps(item)}\n" for item in ITEMS))
    (folder / "corpus.txt").write_text("one\ntwo\n")
    subprocess.run(["gzip", "-k", "corpus.jsonl"], cwd=folder, check=True)
    for name in ("all-MiniLM-L6-v2", "my-decoder", "DIR"):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text("{}")
    for name in ("examples", "topologies"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "bin").mkdir()
    for name in ("server", "bin/llama-server", "bin/ovms", "bin/text-embeddings-router", "bin/vllm"):
        (folder / name).write_text("#!/bin/sh\nexit 1\n")  # none is started
        (folder / name).chmod(0o755)
    program = folder / "bin/ipexlaunch"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tests.documented_commands "$@"\n')
    program.chmod(0o755)
    return folder


def test_the_pages_show_commands_of_each_kind() -> None:
    assert len(OURS) > 60
    assert {"make", "srun", "docker", "pip"} <= {shown.program for shown in SHOWN}


@pytest.mark.process
@pytest.mark.parametrize("page", [str(page.relative_to(ROOT)) for page in PAGES])
def test_what_a_page_shows_can_be_typed(page: str, folder: Path) -> None:
    """In their order, because one may read what another has written."""
    if page.startswith(IN_EXAMPLES):
        pytest.skip("make outputs runs the commands of the examples, in the environments that they name")
    failed = [
        f"line {shown.line}: {shown.text}: {told}"
        for shown in OURS
        if shown.page == page and shown.text not in FAILS_HERE and (told := _told_by(shown, folder))
    ]
    assert failed == []


def _told_by(shown: Shown, folder: Path) -> str:
    """The last line of a command that fails; "" where it works, or fails as the page says that it does."""
    path = os.pathsep.join([str(folder / "bin"), os.environ["PATH"]])
    python_path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        ["bash", "-c", shown.text], cwd=folder, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PATH": path, "PYTHONPATH": python_path, "IPEXLAUNCH_LOST_TIME": "1"},
    )  # fmt: skip
    if done.returncode == 0 or (done.returncode == 1 and "--fail-on" in shown.text):
        return ""
    if shown.page in REFRESHED and f"$ {shown.text}\n" in (text := (ROOT / shown.page).read_text(encoding="utf-8")):
        block = text.partition(f"$ {shown.text}\n")[2].partition("```")[0]
        if f"$ echo $?\n{done.returncode}\n" in block:
            return ""
    return f"{done.returncode}: {(done.stderr.strip().splitlines() or ['no word'])[-1]}"
