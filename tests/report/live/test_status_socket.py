"""Real sockets between a run that answers and somebody who asks."""

from __future__ import annotations

import json
import os
import select
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.errors import DocumentError
from ipexlaunch.launch.run_record import Snapshot
from ipexlaunch.launch.supervise.interfaces import Observer
from ipexlaunch.report.live.ask_status import Answer, ask_runs
from ipexlaunch.report.live.serve_status import MOST_WAITING, StatusSocket, directories
from ipexlaunch.report.live.status import read_status, write_status
from tests.report.live.snapshots import IDENTITY, eventful, many, run_of, worker

USER = os.getuid()
MINE = replace(IDENTITY, pid=os.getpid())


@pytest.fixture
def root(short_path: Path) -> Path:
    (short_path / "tmp").mkdir()
    return short_path


@contextmanager
def served(watcher: Observer, snapshot: Snapshot) -> Iterator[None]:
    """A loop as the supervisor's, in a thread, until the context ends."""
    reader, writer = os.pipe()

    def loop() -> None:
        descriptor = watcher.fileno()
        assert descriptor is not None
        while reader not in (ready := select.select([descriptor, reader], [], [])[0]):
            assert ready
            watcher.ready(lambda: snapshot)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        os.write(writer, b".")
        thread.join()
        os.close(reader)
        os.close(writer)


def refuse(text: str) -> None:
    raise AssertionError(text)


def ask(root: Path) -> list[Answer]:
    return ask_runs({}, USER, note=refuse, patience_s=60, root=str(root))


def test_who_asks_is_told_how_the_run_stands(root: Path) -> None:
    snapshot, _ = eventful()
    watcher = StatusSocket(MINE, {}, USER, note=refuse, root=str(root))
    with served(watcher, snapshot):
        assert ask(root) == [Answer(identity=MINE, snapshot=snapshot, same_processes=True, path=watcher.path)]
        assert len(ask(root)) == 1, "it answers again"
    watcher.close()
    assert ask(root) == []
    assert os.listdir(root / f"tmp/ipexlaunch-{USER}") == []


def test_an_answer_that_is_larger_than_the_sockets_buffer_arrives_whole(root: Path) -> None:
    snapshot, _ = many(4096)
    watcher = StatusSocket(MINE, {}, USER, note=refuse, root=str(root))
    with served(watcher, snapshot):
        (answer,) = ask(root)
    watcher.close()
    assert answer.snapshot == snapshot


def test_those_who_never_read_their_answer_hold_nobody_up(root: Path) -> None:
    snapshot, _ = many(1024)
    watcher = StatusSocket(MINE, {}, USER, note=refuse, root=str(root))
    silent = []
    with served(watcher, snapshot):
        for _ in range(2 * MOST_WAITING):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(watcher.path)
            silent.append(connection)
        assert len(ask(root)) == 1
    watcher.close()
    for connection in silent:
        connection.close()


def test_somebody_who_goes_away_at_once_does_no_harm(root: Path) -> None:
    snapshot, _ = eventful()
    watcher = StatusSocket(MINE, {}, USER, note=refuse, root=str(root))
    with served(watcher, snapshot):
        for _ in range(20):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(watcher.path)
        assert len(ask(root)) == 1
    watcher.close()


def test_the_directory_is_for_its_user_alone(root: Path) -> None:
    watcher = StatusSocket(MINE, {}, USER, note=refuse, root=str(root))
    assert stat.S_IMODE((root / f"tmp/ipexlaunch-{USER}").stat().st_mode) == 0o700
    watcher.close()


def test_the_session_directory_is_preferred_and_every_place_is_searched(root: Path) -> None:
    session = root / "session"
    session.mkdir()
    environment = {"XDG_RUNTIME_DIR": str(session)}
    inside = StatusSocket(MINE, environment, USER, note=refuse, root=str(root))
    batch = StatusSocket(replace(MINE, started_at=1.0), {}, USER, note=refuse, root=str(root))
    assert Path(inside.path).parent == session / "ipexlaunch"
    snapshot, _ = many(1)
    with served(inside, snapshot), served(batch, snapshot):
        answers = ask_runs(environment, USER, note=refuse, root=str(root))
    assert [answer.identity.started_at for answer in answers] == [1.0, IDENTITY.started_at], "earliest first"
    inside.close()
    batch.close()


@pytest.mark.process
def test_the_socket_of_a_killed_launcher_is_removed(root: Path) -> None:
    program = (
        "import os, sys; from ipexlaunch.report.live.status import RunIdentity; "
        "from ipexlaunch.report.live.serve_status import StatusSocket; "
        "StatusSocket(RunIdentity(pid=os.getpid(), program='x', started_at=0.0, local_share_required=0.95), {}, "
        "os.getuid(), note=print, "
        f"root={str(root)!r}); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    directory = root / f"tmp/ipexlaunch-{USER}"
    assert len(os.listdir(directory)) == 1
    assert ask(root) == []
    assert os.listdir(directory) == []


def test_a_launcher_that_is_stopped_is_named(root: Path) -> None:
    watcher = StatusSocket(MINE, {}, USER, note=refuse, root=str(root))
    notes: list[str] = []
    assert ask_runs({}, USER, note=notes.append, patience_s=0.05, root=str(root)) == []
    assert notes == [f"the launcher {MINE.pid} does not answer (is it stopped?)"]
    watcher.close()


def test_an_answer_of_a_later_version_is_named_not_misread(root: Path) -> None:
    directory = root / f"tmp/ipexlaunch-{USER}"
    directory.mkdir(mode=0o700)
    notes: list[str] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / "77-abcdef.sock"))
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            connection.sendall(b'{"schema":"ipexlaunch/status/9"}\n')
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        assert ask_runs({}, USER, note=notes.append, root=str(root)) == []
        thread.join()
    assert len(notes) == 1
    assert "launcher 77" in notes[0]
    assert "ipexlaunch/status/9" in notes[0]


def test_a_launcher_of_an_earlier_version_is_understood() -> None:
    snapshot, _ = many(1)
    data = json.loads(write_status(IDENTITY, snapshot))
    del data["local_share_required"], data["workers"][0]["stopped"]
    assert read_status(json.dumps(data), "it") == (replace(IDENTITY, local_share_required=0.95), snapshot)


def other_files(directory: Path) -> None:
    directory.mkdir(mode=0o755)
    directory.chmod(0o755)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (other_files, "open to others"),
        (lambda directory: directory.write_text(""), "not a directory"),
        (lambda directory: directory.symlink_to(directory.parent), "not a directory"),
    ],
)
def test_a_directory_that_others_could_have_made_is_not_trusted(root: Path, make: object, word: str) -> None:
    assert callable(make)
    make(root / f"tmp/ipexlaunch-{USER}")
    notes: list[str] = []
    watcher = StatusSocket(MINE, {}, USER, note=notes.append, root=str(root))
    assert watcher.fileno() is None
    watcher.ready(lambda: many(1)[0])
    watcher.close()
    assert len(notes) == 1
    assert word in notes[0]
    assert ask_runs({}, USER, note=notes.append, root=str(root)) == []
    assert word in notes[1]


def test_a_missing_directory_costs_a_note_not_the_run(tmp_path: Path) -> None:
    notes: list[str] = []
    watcher = StatusSocket(
        MINE, {"XDG_RUNTIME_DIR": str(tmp_path / "gone")}, USER, note=notes.append, root=str(tmp_path)
    )
    assert watcher.fileno() is None
    assert len(notes) == 1
    assert "top" in notes[0]


def test_a_path_that_is_too_long_for_a_socket_is_passed_over(root: Path) -> None:
    deep = root / ("d" * 100)
    deep.mkdir()
    watcher = StatusSocket(MINE, {"XDG_RUNTIME_DIR": str(deep)}, USER, note=refuse, root="/")
    assert watcher.path.startswith(f"/tmp/ipexlaunch-{USER}/") or watcher.path.startswith("/run/user/")
    watcher.close()


def test_places_are_named_once() -> None:
    assert directories({"XDG_RUNTIME_DIR": "/run/user/7"}, 7) == ["/run/user/7/ipexlaunch", "/tmp/ipexlaunch-7"]
    assert directories({"XDG_RUNTIME_DIR": "relative"}, 7) == ["/run/user/7/ipexlaunch", "/tmp/ipexlaunch-7"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '{"schema": 1}', "[" * 100_000, '{"schema":"ipexlaunch/status/1"}']
)
def test_what_is_no_status_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(DocumentError) as error:
        read_status(text, "the answer of launcher 5")
    assert "launcher 5" in str(error.value)
    assert "\n" not in str(error.value)


@given(st.lists(st.text(st.characters(codec="utf-8")), min_size=1, max_size=5))
def test_workers_words_travel_whatever_they_are(last_lines: list[str]) -> None:
    snapshot = run_of([worker(index, last_line=line[:400]) for index, line in enumerate(last_lines)])
    assert read_status(write_status(IDENTITY, snapshot), "it") == (IDENTITY, snapshot)
