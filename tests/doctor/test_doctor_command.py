"""The command as a user types it: on this host, on saved trees, with mistakes."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ipexlaunch.cli.doctor_command import gather_facts
from ipexlaunch.doctor.finding import SEVERITIES, print_findings
from ipexlaunch.doctor.run_checks import CHECKS, examine
from ipexlaunch.launch import bind
from tests.doctor.hosts import HEALTHY, STATUS, facts, machine
from tests.doctor.trees import write_tree
from tests.sysfs_writer import write_sysfs

CHECKOUT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.process


def doctor(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    return subprocess.run(
        [sys.executable, "-m", "ipexlaunch", "doctor", *words],
        cwd=CHECKOUT,
        env={**kept, "PYTHONPATH": str(CHECKOUT), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def document(*words: str, **variables: str) -> dict[str, Any]:
    done = doctor("--format", "json", *words, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def by_check(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {finding["check"]: finding for finding in found["findings"]}


def saved_host(root: Path) -> str:
    """The healthy host as a whole tree: what the probe reads, and what the checks read."""
    write_sysfs(machine(), root)
    return write_tree(root, HEALTHY)


def test_this_host_gets_an_answer_to_every_check() -> None:
    found = document()
    assert list(found) == ["schema", "worst", "counts", "findings"]
    assert found["schema"] == "ipexlaunch/doctor/1"
    assert {finding["check"] for finding in found["findings"]} == {check.name for check in CHECKS}
    assert found["counts"] == {**dict.fromkeys(SEVERITIES, 0), **Counter(f["severity"] for f in found["findings"])}
    assert list(found["findings"][0]) == ["check", "severity", "message", "evidence", "remedy", "command"]


def test_what_this_host_says_of_itself_is_what_its_files_say() -> None:
    found = by_check(document())
    status = Path("/proc/self/status").read_text()
    allowed = next(line.split()[1] for line in status.splitlines() if line.startswith("Cpus_allowed_list"))
    assert {"where": "/proc/self/status", "value": f"Cpus_allowed_list: {allowed}"} in found["allowed-cpus"]["evidence"]
    swappiness = Path("/proc/sys/vm/swappiness").read_text().strip()
    assert all(seen["value"] == swappiness for seen in found["swap"]["evidence"] if "swappiness" in seen["where"])


def test_a_healthy_saved_host_has_nothing_wrong_and_says_what_a_tree_cannot_tell(tmp_path: Path) -> None:
    found = document("--root", saved_host(tmp_path))
    wrong = {finding["check"]: finding for finding in found["findings"] if finding["severity"] not in ("ok", "note")}
    cannot = {"memory-policy", "inherited-policy", "shared-memory", "numa-package", "amx", "allocator"}
    cannot |= {"openmp-runtime", "openmp-runtimes", "torch"}
    without_environment = {check for check in wrong if wrong[check]["evidence"][0]["where"] == "/proc/self/environ"}
    assert set(wrong) - without_environment == cannot
    assert {finding["severity"] for finding in wrong.values()} == {"unknown"}


def test_a_saved_host_is_judged_by_its_own_files(tmp_path: Path) -> None:
    root = saved_host(tmp_path)
    write_tree(
        tmp_path,
        {
            "/proc/sys/kernel/numa_balancing": "1\n",
            "/proc/self/environ": b"KMP_AFFINITY=compact\0LD_PRELOAD=/none.so\0",
            "/sys/kernel/mm/transparent_hugepage/enabled": "always madvise [never]\n",
        },
    )
    found = by_check(document("--root", root, OMP_PROC_BIND="close"))
    assert found["numa-balancing"]["severity"] == "warning"
    assert found["huge-pages-on-demand"]["severity"] == "warning"
    assert found["thread-pinning"]["command"] == "unset KMP_AFFINITY"
    assert found["preload"]["severity"] == "problem"


def test_a_broken_topology_is_unknown_with_its_file_and_the_rest_is_still_told(tmp_path: Path) -> None:
    root = saved_host(tmp_path)
    (tmp_path / "sys/devices/system/cpu/online").write_text("nonsense\n")
    found = by_check(document("--root", root))
    assert found["cpu-quota"]["severity"] == "unknown"
    assert found["cpu-quota"]["evidence"][0]["where"].endswith("sys/devices/system/cpu/online")
    assert found["numa-balancing"]["severity"] == "unknown"
    assert found["swap"]["severity"] == "ok"


def test_a_cgroup_quota_and_memory_limit_of_a_saved_host_are_found_with_their_files(tmp_path: Path) -> None:
    root = saved_host(tmp_path)
    group = "/sys/fs/cgroup/job"
    write_tree(
        tmp_path,
        {
            "/proc/self/cgroup": "0::/job\n",
            "/proc/self/mountinfo": "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
            "/proc/self/status": STATUS,
            f"{group}/cpu.max": "250000 100000\n",
            f"{group}/cpu.stat": "nr_periods 9\nnr_throttled 7\n",
            f"{group}/memory.max": str(1 << 34) + "\n",
        },
    )
    found = by_check(document("--root", root))
    assert found["cpu-quota"]["severity"] == "problem"
    assert found["cpu-quota"]["evidence"] == [
        {"where": f"{group}/cpu.max", "value": "2.5 cpus"},
        {"where": f"{group}/cpu.stat", "value": "nr_throttled 7"},
    ]
    assert found["memory-limit"]["evidence"][0] == {"where": f"{group}/memory.max", "value": "16.0 GiB"}


def test_findings_end_with_0_unless_a_severity_is_asked_for() -> None:
    assert doctor(KMP_AFFINITY="compact").returncode == 0
    assert doctor("--fail-on", "problem", KMP_AFFINITY="compact").returncode == 1
    assert doctor("--fail-on", "warning", KMP_AFFINITY="compact").returncode == 1


def test_a_healthy_host_passes_the_same_gate(tmp_path: Path) -> None:
    root = saved_host(tmp_path)
    write_tree(tmp_path, {"/proc/self/environ": b"HOME=/root\0"})
    assert doctor("--root", root, "--fail-on", "warning").returncode == 0
    assert doctor("--root", root, "--fail-on", "unknown").returncode == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--root", "/nowhere"], "ipexlaunch: cannot read a machine from --root /nowhere: there is no such folder"),
        (
            ["--model", "/nowhere"],
            "ipexlaunch: cannot look for --model /nowhere in the page cache: there is no such file",
        ),
        (["--fail-on", "note"], "ipexlaunch: Invalid value for '--fail-on'"),
        (["--format", "yaml"], "ipexlaunch: Invalid value for '--format'"),
        (["extra"], "ipexlaunch: Got unexpected extra argument"),
    ],
)
def test_mistakes_are_one_line_and_code_2(words: list[str], message: str) -> None:
    done = doctor(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


def test_a_folder_without_a_file_is_no_model(tmp_path: Path) -> None:
    done = doctor("--model", str(tmp_path))
    assert done.returncode == 2
    assert "the folder holds no file" in done.stderr


def test_the_files_of_a_model_are_looked_for_in_the_page_cache(tmp_path: Path) -> None:
    write_tree(tmp_path, {"/m/a.safetensors": b"x" * 40960, "/m/sub/b": b"y" * 4096, "/m/.git": b"z"})
    found = by_check(document("--model", str(tmp_path / "m")))["page-cache"]
    assert [seen["where"] for seen in found["evidence"]] == [f"{tmp_path}/m/a.safetensors", f"{tmp_path}/m/sub/b"]
    assert "10 of 10 pages asked are cached (100%)" in found["evidence"][0]["value"]


def test_an_interpreter_that_is_not_there_is_unknown() -> None:
    found = by_check(document("--python", "/nowhere/python"))
    assert found["torch"]["severity"] == "unknown"
    assert found["torch"]["evidence"][0] == {"where": "/nowhere/python", "value": "there is no such file"}


def test_a_bare_name_of_an_interpreter_is_looked_up_as_a_shell_would(tmp_path: Path) -> None:
    write_tree(
        tmp_path, {"/bin/pythonx": b"\x7fELF", "/lib/python3.11/site-packages/torch-2.13.0.dist-info/RECORD": ""}
    )
    (tmp_path / "bin/pythonx").chmod(0o755)
    found = by_check(document("--python", "pythonx", PATH=f"{tmp_path}/bin:/usr/bin"))
    assert found["torch"]["message"] == "torch 2.13.0 in the workers' Python"


def test_the_active_environment_is_looked_into_by_default(tmp_path: Path) -> None:
    write_tree(tmp_path, {"/bin/python": b"\x7fELF", "/lib/python3.11/site-packages/torch-2.12.1.dist-info/RECORD": ""})
    (tmp_path / "bin/python").chmod(0o755)
    found = by_check(document(VIRTUAL_ENV=str(tmp_path)))
    assert found["torch"]["message"] == "torch 2.12.1 in the workers' Python"


def test_a_memory_policy_that_was_handed_down_is_found_and_nothing_is_left_changed() -> None:
    script = (
        "import os, subprocess, sys; from ipexlaunch.launch.bind import held_to\n"
        "with held_to(frozenset(), 'bind', frozenset({0})):\n"
        "    sys.exit(subprocess.call([sys.executable, '-m', 'ipexlaunch', 'doctor', '--format', 'json']))\n"
    )
    try:
        bind.set_memory_policy(*bind.memory_policy())
    except OSError as error:
        pytest.skip(f"the kernel refuses memory policies here: {error.strerror}")
    done = subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    found = by_check(json.loads(done.stdout))["inherited-policy"]
    assert (found["severity"], found["evidence"][0]["value"]) == ("warning", "bind:0")


def test_asking_for_a_policy_leaves_our_own_as_it_was() -> None:
    before = bind.memory_policy()
    gather_facts("/", None, ())
    assert bind.memory_policy() == before


@pytest.mark.parametrize("columns", [80, 160])
def test_no_line_is_wider_than_the_terminal_but_commands_which_are_never_broken(tmp_path: Path, columns: int) -> None:
    done = doctor("--root", saved_host(tmp_path), COLUMNS=str(columns))
    lines = done.stdout.splitlines()
    assert len(lines) > 20
    assert [line for line in lines if len(line) > columns and " $ " not in line and "/" not in line] == []
    assert "\x1b" not in done.stdout


def printed(color: bool, encoding: str = "utf-8", **variables: str) -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding)
    print_findings(examine(facts(environment=variables)), stream, 100, color)
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)


def test_colour_changes_no_word() -> None:
    assert "\x1b[" in printed(color=True)
    assert re.sub(r"\x1b\[[0-9;]*m", "", printed(color=True)) == printed(color=False)


def test_a_stream_without_our_marks_gets_plain_ones() -> None:
    assert "+ smt" in printed(color=False, encoding="ascii")
    assert "✓ smt" in printed(color=False)


def test_what_a_variable_holds_cannot_steer_the_terminal() -> None:
    text = printed(color=False, KMP_AFFINITY="compact\x1b[2J\udcff é")
    assert "environment KMP_AFFINITY: compact\\x1b[2J\\udcff é" in text
    assert "\x1b" not in text
    assert "\\xe9" in printed(color=False, encoding="ascii", KMP_AFFINITY="compact é")


def test_bytes_that_are_no_text_are_told_and_do_not_end_the_program() -> None:
    kept = {name.encode(): os.environ[name].encode() for name in ("PATH", "HOME") if name in os.environ}
    variables = {**kept, b"PYTHONPATH": str(CHECKOUT).encode(), b"LD_PRELOAD": b"/none\xff.so"}
    for words in ([], ["--format", "json"]):
        done = subprocess.run(
            [sys.executable, "-m", "ipexlaunch", "doctor", *words],
            cwd=CHECKOUT,
            env=variables,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0
        assert b"/none\\udcff.so" in done.stdout


def test_help_explains_itself_without_reading_the_host() -> None:
    done = doctor("--help")
    assert done.returncode == 0
    assert "--fail-on" in done.stdout
