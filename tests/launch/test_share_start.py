"""Which workers are forked from which process, what that process is, and why there is none."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from ipexlaunch.launch.job import Job, Launch
from ipexlaunch.launch.make_launch import make_launch
from ipexlaunch.launch.share_start import NOBODY, ShareStart, Template, fork_request, share_start
from ipexlaunch.plan.plan import Instance, Plan

HOUSE = "/house/ipexlaunch"


def launch(
    *slices: tuple[set[int], set[int]],
    inherited: Mapping[str, str] | None = None,
    memory: str = "bind",
    accelerator: str = "",
    **job: object,
) -> Launch:
    instances = tuple(
        Instance(index=i, cpus=frozenset(cpus), nodes=frozenset(nodes), threads=max(1, len(cpus)), memory=memory,
                 accelerator=accelerator)
        for i, (cpus, nodes) in enumerate(slices)
    )  # fmt: skip
    words: dict[str, object] = {"program": "a.py", "python": "py", "module_path": f"{HOUSE}/worker/import_path", **job}
    plan = Plan(topology="0" * 16, instances=instances)
    return make_launch(plan, Job(**words), inherited or {})  # type: ignore[arg-type]


TWO = (({0, 1}, {0}), ({2, 3}, {0}))


def one(made: Launch, mode: ShareStart = "imports", inherited: Mapping[str, str] | None = None) -> Template:
    (template,), why = share_start(made, mode, inherited or {})
    assert why == ""
    return template


def test_workers_of_the_same_nodes_have_one_template_which_runs_on_all_their_cpus_under_their_policy() -> None:
    made = launch(({0}, {0}), ({4, 5}, {1}), ({1}, {0}), ({6, 7}, {1}), ({2}, {0}))
    templates, why = share_start(made, "model", {})
    assert why == ""
    assert [template.places for template in templates] == [(0, 2, 4), (1, 3)]
    assert [sorted(template.instance.cpus) for template in templates] == [[0, 1, 2], [4, 5, 6, 7]]
    assert [template.instance.nodes for template in templates] == [frozenset({0}), frozenset({1})]
    assert [template.instance.memory for template in templates] == ["bind", "bind"]


def test_a_worker_alone_on_its_nodes_has_none() -> None:
    templates, why = share_start(launch(({0}, {0}), ({1}, {0}), ({2}, {1}), ({3}, {0, 1})), "imports", {})
    assert ([template.places for template in templates], why) == ([(0, 1)], "")


@pytest.mark.parametrize(("slices", "why"), [([({0}, {0})], NOBODY[0]), ([({0}, {0}), ({1}, {1})], NOBODY[1])])
def test_nobody_shares_with_nobody(slices: list[tuple[set[int], set[int]]], why: str) -> None:
    assert share_start(launch(*slices), "model", {}) == ((), why)


@pytest.mark.parametrize(
    ("job", "inherited", "why"),
    [
        ({"kind": "executable"}, {}, "the program is no Python script"),
        ({"environment": {"X": "{index}", "A": "{cpus}"}}, {}, "A, X are not the same in all workers"),
        ({"environment": {"OMP_THREAD_LIMIT": "{index}"}}, {}, "OMP_THREAD_LIMIT is not the same in all workers"),
        ({"arguments": ("{index}",)}, {}, "the program's arguments are not the same in all workers"),
        ({"accelerator": "xpu:0"}, {}, "an accelerator"),
        ({}, {"OMP_PROC_BIND": "close"}, "OMP_PROC_BIND would bind"),
        ({"environment": {"OMP_PLACES": "cores"}}, {"KMP_AFFINITY": "x"}, "OMP_PLACES and KMP_AFFINITY would bind"),
        ({"libraries": {"iomp5": "/opt/libiomp5.so"}}, {}, "libiomp5 is preloaded"),
        ({}, {"LD_PRELOAD": "/a.so:/opt/libiomp5.so"}, "libiomp5 is preloaded"),
    ],
)
def test_what_could_not_be_right_in_a_forked_worker_is_refused(
    job: dict[str, object], inherited: dict[str, str], why: str
) -> None:
    templates, refused = share_start(launch(*TWO, inherited=inherited, **job), "model", inherited)  # type: ignore[arg-type]
    assert templates == ()
    assert why in refused


def test_arguments_may_differ_where_the_program_has_not_begun() -> None:
    made = launch(*TWO, arguments=("{index}", "--cpus={cpus}"))
    request = fork_request(one(made), made, 1, {}, {})
    assert request["words"] == ["a.py", "1", "--cpus=2-3"]
    assert request["argv"] == ["py", "-u", "a.py", "1", "--cpus=2-3"]


def test_a_template_runs_the_program_through_our_runner_and_has_room_for_the_longest_command() -> None:
    made = launch(({0}, {0}), (set(range(1, 64, 2)), {0}), arguments=("{cpus}",), runner=("run.py", "--count-calls"))
    template = one(made)
    assert template.argv == made.workers[1].argv
    assert fork_request(template, made, 0, {}, {})["words"] == ["--count-calls", "a.py", "0"]
    assert one(launch(*TWO)).argv == ("py", "-u", f"{HOUSE}/models/run_script.py", "a.py")
    module = launch(*TWO, kind="module")
    assert one(module).argv == ("py", "-u", f"{HOUSE}/models/run_script.py", "-m", "a.py")
    assert fork_request(one(module), module, 0, {}, {})["words"] == ["-m", "a.py"]


def environment(made: Launch, template: Template, place: int, inherited: Mapping[str, str]) -> dict[str, str]:
    """The variables of a worker that is forked, as it makes them of those of its template."""
    own = fork_request(template, made, place, inherited, {"IPEXLAUNCH_STATUS_FD": "3", "IPEXLAUNCH_STATUS_INODE": "7"})
    variables: dict[str, str | None] = {**inherited, **template.environment, **own["environment"]}  # type: ignore[dict-item]
    return {name: value for name, value in variables.items() if value is not None}


INHERITED = {
    "OMP_NUM_THREADS": "64", "MKL_NUM_THREADS": "64", "TOKENIZERS_PARALLELISM": "true", "OMP_THREAD_LIMIT": "64",
    "OPENBLAS_NUM_THREADS": "7", "A": "b", "IPEXLAUNCH_TEMPLATE": "model",
}  # fmt: skip


@pytest.mark.parametrize("mode", ["imports", "model"])
@pytest.mark.parametrize("slices", [TWO, (({0}, {0}), ({2, 3}, {0}))])
@pytest.mark.parametrize("inherited", [{}, INHERITED])
def test_a_forked_worker_has_the_variables_that_it_has_alone(
    mode: ShareStart, slices: tuple[tuple[set[int], set[int]], ...], inherited: dict[str, str]
) -> None:
    made = launch(*slices, inherited=inherited, environment={"MALLOC_CONF": "background_thread:true", "X": "{count}"})
    template = one(made, mode, inherited)
    for place, worker in enumerate(made.workers):
        alone = {**inherited, **worker.environment, "IPEXLAUNCH_STATUS_FD": "3", "IPEXLAUNCH_STATUS_INODE": "7"}
        alone.pop("IPEXLAUNCH_TEMPLATE", None)
        assert environment(made, template, place, inherited) == alone


def test_a_template_that_calculates_has_one_thread_and_one_that_imports_its_workers_number() -> None:
    made = launch(*TWO, inherited=INHERITED)
    model, imports = one(made, "model", INHERITED).environment, one(made, "imports", INHERITED).environment
    assert [model[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")] == ["1", "1", "1"]
    assert (imports["OMP_NUM_THREADS"], imports["OPENBLAS_NUM_THREADS"]) == ("2", "1")
    unlike = launch(({0}, {0}), ({2, 3}, {0}))
    assert one(unlike, "imports").environment["OMP_NUM_THREADS"] == "1"
    # libgomp reads the limit when it is loaded: workers could never have more.
    assert "OMP_THREAD_LIMIT" not in model
    assert (
        one(launch(*TWO, environment={"MALLOC_CONF": "a:1,background_thread:true"})).environment["MALLOC_CONF"]
        == "a:1,background_thread:false"
    )


@pytest.mark.parametrize(("count", "threads"), [("4", 4), ("4,2", 4), ("many", 0), ("", 0)])
def test_a_worker_is_told_its_number_of_threads(count: str, threads: int) -> None:
    made = launch(*TWO, environment={"OMP_NUM_THREADS": count})
    assert fork_request(one(made), made, 0, {}, {})["threads"] == threads


def test_what_differs_stands_last_and_has_room_for_the_longest_worker() -> None:
    made = launch(({0}, {0}), (set(range(1, 128, 2)), {0}))
    template = one(made)
    assert list(template.environment)[-len(template.own_names) :] == list(template.own_names)
    theirs = template.environment
    for place in (0, 1):
        request = fork_request(
            template, made, place, {}, {"IPEXLAUNCH_STATUS_FD": "3", "IPEXLAUNCH_STATUS_INODE": "9" * 12}
        )
        own: Mapping[str, str | None] = request["environment"]  # type: ignore[assignment]
        needed = sum(len(f"{name}={value}") + 1 for name, value in own.items() if value is not None)
        assert needed <= sum(len(f"{name}={theirs[name]}") + 1 for name in template.own_names)
