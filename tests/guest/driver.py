"""Looks at everything that the tests ask about, inside a guest, and prints it as one JSON object.

    python -m tests.guest.driver SHAPE

Starting Python is dear in a guest, so one process collects for all tests. A section that fails holds its error instead,
and only the tests that need it fail.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ipexlaunch.launch.bind import held_to, set_memory_policy
from ipexlaunch.machine.cpulist import format_list
from tests.guest.doctor_section import doctor
from tests.guest.scenarios import SHARED_OUT_MIB, WEIGHTS, WORKER_MIB, Scenario, scenarios
from tests.guest.shape import SHAPES, Shape
from tests.guest.touch_memory import touched

TOUCH_MEMORY = str(Path(__file__).with_name("touch_memory.py"))
MEASURED_WORKER = str(Path(__file__).with_name("measured_worker.py"))
MISBEHAVE = str(Path(__file__).parents[1] / "launch/placement/misbehave.py")
SPLIT_WORKER = str(Path(__file__).with_name("split_worker.py"))
HAND_MADE = str(Path(__file__).parents[1] / "launch/hand_made_launch.py")
GRANDCHILD_MIB = 8
FORKED_SHAPE = "2s2n-smt"
SHARED_MIB, OWN_MIB = 48, 16
"""Touched before the fork, and after."""
ELSEWHERE = 3
"""The node of a template whose workers are on node 0."""
POLICY_SHAPES = ("2s2n-smt",)
MISPLACED_SHAPE = "8n"
"""It has a node for each misdeed."""
MISDEEDS = ("thread", "been", "child-cpus", "daemon", "policy", "mbind", "child-policy", "nothing")
"""Of tests/launch/placement/misbehave.py, one for each instance; the last one is at home where the others stray to."""
LAUNCHER = [sys.executable, "-m", "ipexlaunch", "run", "--memory-allocator", "default", "--omp-runtime", "default"]
"""Sizes are compared to the byte, and where pages lie: what else the host has installed must not be preloaded."""
WEIGHT_FILES = Path("/sys/kernel/mm/mempolicy/weighted_interleave")

Json = object


def main() -> None:
    """Collect and print."""
    shape = SHAPES[sys.argv[1]]
    sections: Mapping[str, Callable[[Shape], Json]] = {
        "kernel": kernel,
        "this_process": this_process,
        "tools": tools,
        "topology": topology,
        "doctor": doctor,
        "policy_refusal": policy_refusal,
        "bound": bound_by_us,
        "bound_by_numactl": bound_by_numactl,
        "run": run,
        "dry_run": dry_run,
        "run_strict": run_strict,
        "run_policies": run_policies,
        "run_misplaced": run_misplaced,
        "run_forked": run_forked,
    }
    found: dict[str, Json] = {}
    for name, collect in sections.items():
        began = time.monotonic()
        try:
            found[name] = {"value": collect(shape)}
        except Exception:  # told to the tests that ask for this section
            found[name] = {"error": traceback.format_exc()}
        print(f"{name}: {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
    print(json.dumps(found))


def kernel(shape: Shape) -> Json:
    """sysfs, as it says it."""
    del shape
    cpus, nodes = Path("/sys/devices/system/cpu"), Path("/sys/devices/system/node")
    online = [path for path in cpus.glob("cpu[0-9]*") if (path / "topology").is_dir()]
    return {
        "release": os.uname().release,
        "online": (cpus / "online").read_text().strip(),
        "has_memory": (nodes / "has_memory").read_text().strip(),
        "has_cpu": (nodes / "has_cpu").read_text().strip(),
        "siblings": {path.name[3:]: (path / "topology/thread_siblings_list").read_text().strip() for path in online},
        "package": {path.name[3:]: int((path / "topology/physical_package_id").read_text()) for path in online},
        "node_cpus": {path.name[4:]: (path / "cpulist").read_text().strip() for path in nodes.glob("node[0-9]*")},
        "distances": {path.name[4:]: (path / "distance").read_text().split() for path in nodes.glob("node[0-9]*")},
        "memory_kib": {
            path.name[4:]: int((path / "meminfo").read_text().partition("MemTotal:")[2].split()[0])
            for path in nodes.glob("node[0-9]*")
        },
    }


def this_process(shape: Shape) -> Json:
    """What this process may use."""
    del shape
    status = dict(line.partition(":\t")[::2] for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "affinity": format_list(os.sched_getaffinity(0)),
        "cpus_allowed": status["Cpus_allowed_list"],
        "mems_allowed": status["Mems_allowed_list"],
        "seccomp": status["Seccomp"],
        "cgroup": Path("/proc/self/cgroup").read_text().strip(),
    }


def tools(shape: Shape) -> Json:
    """What other programs say of the machine."""
    del shape
    return {
        "numactl": _run(["numactl", "-H"]),
        "lstopo": _run(["lstopo-no-graphics", "--disallowed", "--of", "xml"]),
    }


def topology(shape: Shape) -> Json:
    """What ipexlaunch says of the machine."""
    del shape
    return _run([sys.executable, "-m", "ipexlaunch", "topology", "--format", "json"])


def policy_refusal(shape: Shape) -> Json:
    """The error number of a memory policy that any machine takes; 0 where it was taken."""
    try:
        set_memory_policy("bind", frozenset({scenarios(shape)[0].nodes[0]}))
    except OSError as error:
        return error.errno
    set_memory_policy("default", frozenset())
    return 0


def bound_by_us(shape: Shape) -> Json:
    """The shape's scenarios with the launcher's own binding, each in a forked child."""
    return {scenario.name: _bound(scenario) for scenario in scenarios(shape)}


def bound_by_numactl(shape: Shape) -> Json:
    """The shape's first bind scenario with numactl."""
    scenario = scenarios(shape)[0]
    cpus, nodes = format_list(scenario.cpus), format_list(scenario.nodes)
    worker = [sys.executable, "-I", "-S", TOUCH_MEMORY, str(scenario.mib)]
    return {scenario.name: _run(["numactl", "-C", cpus, "-m", nodes, *worker])}


def run(shape: Shape) -> Json:
    """The main job: one measured worker on each node, the last with a grandchild of the launcher."""
    return _launched(_one_on_each_node(shape), mib=WORKER_MIB, child_mib=GRANDCHILD_MIB)


def _one_on_each_node(shape: Shape) -> list[str]:
    """As many instances as nodes have cpus for us; the default is more of them where nodes are unlike."""
    allowed = os.sched_getaffinity(0)
    return ["--ninstances", str(sum(1 for node in shape.cpu_nodes if shape.online_of_node(node) & allowed))]


def dry_run(shape: Shape) -> Json:
    """The lines that --dry-run prints, and what the last of them does in a shell, if numactl can."""
    planned = _run([*LAUNCHER, *_one_on_each_node(shape), "--dry-run", TOUCH_MEMORY, str(WORKER_MIB)])
    lines = str(planned["stdout"]).splitlines()
    last = None if shape.refuse_memory_policy or not lines else _run(["sh", "-c", lines[-1]])
    return {**planned, "last": last}


def run_strict(shape: Shape) -> Json:
    """The main job with --strict, where the kernel refuses memory policy."""
    options = [*_one_on_each_node(shape), "--strict"]
    return _launched(options, mib=WORKER_MIB) if shape.refuse_memory_policy else None


def run_policies(shape: Shape) -> Json:
    """One worker over several nodes under each policy, on the shapes where that is worth its time."""
    if shape not in [SHAPES[name] for name in POLICY_SHAPES]:
        return None
    _set_weights((0, 1))
    policies = ("preferred", "interleave", "weighted-interleave")
    options = ["--nodes-list", "0,1", "--ninstances", "1", "--memory-policy"]
    return {policy: _launched([*options, policy], mib=SHARED_OUT_MIB) for policy in policies}


def run_misplaced(shape: Shape) -> Json:
    """One run in which every worker but the last leaves its slice, each in another way."""
    if shape is not SHAPES[MISPLACED_SHAPE]:
        return None
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory, "report.json")
        ran = _run([*LAUNCHER, "--report", str(report), MISBEHAVE, ",".join(MISDEEDS)])
        return {**ran, "report": _written(report)}


def run_forked(shape: Shape) -> Json:
    """Two workers on each node, forked there; two that are on one node and are forked on another."""
    if shape is not SHAPES[FORKED_SHAPE]:
        return None
    sizes = [str(SHARED_MIB), str(OWN_MIB)]
    cpus = sorted(shape.online_of_node(0))
    places = json.dumps([{"cpus": cpus, "nodes": [0], "threads": len(cpus)}] * 2)
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory, "report.json")
        options = ["--report", str(report), "--ninstances", str(2 * len(shape.cpu_nodes)), "--share-start", "model"]
        home = {**_run([*LAUNCHER, *options, SPLIT_WORKER, *sizes]), "report": _written(report)}
    words = [sys.executable, places, "model", str(ELSEWHERE), SPLIT_WORKER, *sizes]
    elsewhere = _run([sys.executable, HAND_MADE, *words])
    written = json.loads(str(elsewhere["stdout"]).splitlines()[-1]) if elsewhere["stdout"] else None
    return {"home": home, "elsewhere": {**elsewhere, "report": written}}


def _launched(options: Sequence[str], *, mib: int, child_mib: int = 0) -> Json:
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory, "report.json")
        words = [*LAUNCHER, "--report", str(report), *options, MEASURED_WORKER, str(mib), str(child_mib), directory]
        ran = _run(words)
        told = {path.stem: json.loads(path.read_text()) for path in Path(directory).glob("[0-9]*.json")}
        return {**ran, "report": _written(report), "workers": told}


def _written(report: Path) -> Json:
    return json.loads(report.read_text()) if report.exists() and report.stat().st_size else None


def _set_weights(nodes: Sequence[int]) -> None:
    if WEIGHT_FILES.is_dir():
        for node, weight in zip(nodes, WEIGHTS, strict=True):
            (WEIGHT_FILES / f"node{node}").write_text(str(weight))


def _bound(scenario: Scenario) -> Json:
    if scenario.policy == "weighted-interleave":
        _set_weights(scenario.nodes)
    with held_to(scenario.cpus, scenario.policy, frozenset(scenario.nodes)) as binding:
        worker = _forked(lambda: _touched(scenario.mib))
    accepted = {"memory": binding.memory, "nodes": sorted(binding.nodes), "refused": binding.refused}
    return {"worker": worker, "cpus": format_list(binding.cpus), **accepted}


def _touched(mib: int) -> Json:
    with touched(mib) as found:
        return found


def _forked(act: Callable[[], Json]) -> Json:
    """What a child process returns; a fork is cheaper than a new Python, and inherits the binding as a spawn does."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with os.fdopen(writer, "w") as told:
            json.dump(act(), told)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as told:
        text = told.read()
    _, status = os.waitpid(child, 0)
    if status:
        raise RuntimeError(f"the child ended with {os.waitstatus_to_exitcode(status)}")
    return json.loads(text)


def _run(command: Sequence[str]) -> dict[str, Json]:
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return {"status": done.returncode, "stdout": done.stdout, "stderr": done.stderr}


if __name__ == "__main__":
    main()
