"""Every source gives one type, and what is no source is answered with what would be."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from ipexlaunch.errors import DocumentError, IpexLaunchError, RequestError, TopologyError
from ipexlaunch.machine.probe import open_topology, probe
from ipexlaunch.machine.probe import sources as module
from ipexlaunch.machine.probe.sources import files_of, machines_in, shipped_machines
from ipexlaunch.machine.probe.tree import DirectoryFiles
from ipexlaunch.machine.synthetic import synthetic_machine
from ipexlaunch.machine.topology_file import topology_to_json, topology_to_yaml


def test_the_live_machine_is_the_one_this_process_runs_on() -> None:
    live = open_topology("live")
    assert live.source == "live"
    assert live.allowed_cpus == os.sched_getaffinity(0)
    assert probe("/") == probe() == live
    assert isinstance(files_of("live"), DirectoryFiles)


def test_documents_in_either_form_and_from_a_pipe(tmp_path: Path) -> None:
    machine = synthetic_machine("2s 2c")
    for name, text in (("m.yaml", topology_to_yaml(machine)), ("m", topology_to_json(machine))):
        path = tmp_path / name
        path.write_text(text)
        found = open_topology(str(path))
        assert (found.cpus, found.nodes, found.source) == (machine.cpus, machine.nodes, f"file:{path}")
        assert files_of(str(path)) is None
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(topology_to_yaml(machine),))
    writer.start()
    assert open_topology(str(pipe)).cpus == machine.cpus
    writer.join()


def test_sentences_and_shipped_names() -> None:
    assert open_topology("2s 2n 28c 2t") == synthetic_machine("2s 2n 28c 2t")
    assert files_of("2s 2n 28c 2t") is None
    name, path = next(iter(shipped_machines().items()))
    assert open_topology(name).source == f"file:{path}"


def test_a_name_that_is_nearly_one_is_answered_with_it() -> None:
    name = next(iter(shipped_machines()))
    for typed in (name[:-2], name.replace("-", "_", 1)):
        with pytest.raises(RequestError, match=f"did you mean .*{name}"):
            open_topology(typed)


@pytest.mark.parametrize("source", ["nope", "", "no/such/file.yaml", "a\0b"])
def test_what_is_no_source_is_answered_with_what_would_be_one(source: str) -> None:
    with pytest.raises(RequestError, match="it is no file, no directory, no sentence, and no machine"):
        open_topology(source)


def test_files_that_describe_no_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def error_of(content: bytes) -> IpexLaunchError:
        path = tmp_path / "file"
        path.write_bytes(content)
        with pytest.raises(IpexLaunchError) as caught:
            open_topology(str(path))
        assert str(path) in str(caught.value)
        return caught.value

    assert isinstance(error_of(b""), DocumentError)
    assert "neither an archive nor text" in str(error_of(b"\xff\xfe\x00"))
    assert isinstance(error_of(b"\x1f\x8b\x00"), TopologyError)
    assert isinstance(error_of(b"\0" * 257 + b"ustar" + b"\0" * 300), TopologyError)
    monkeypatch.setattr(module, "LARGEST_SOURCE", 10)
    assert "larger than 10 bytes" in str(error_of(b"x" * 11))


def test_a_file_that_cannot_be_read_is_said() -> None:
    with pytest.raises(RequestError, match="read the machine '/proc/self/mem'"):
        open_topology("/proc/self/mem")


def test_a_directory_without_a_machine(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match="there is no such directory; a machine is a directory with sys/ and proc/"):
        open_topology(str(tmp_path))


def test_a_folder_of_machines(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.json", "README.md"):
        (tmp_path / name).touch()
    assert list(machines_in(str(tmp_path))) == ["a", "b"]
    assert machines_in(str(tmp_path / "missing")) == {}
