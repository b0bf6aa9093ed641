import shlex
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.errors import RequestError
from ipexlaunch.launch.job import Job, shell_line
from ipexlaunch.launch.make_launch import IOMP_AFFINITY, make_launch
from ipexlaunch.plan import Instance, Plan, Request
from ipexlaunch.plan.plan import fill_template


def plan(*cpus: set[int], memory: str = "bind") -> Plan:
    instances = tuple(
        Instance(index=i, cpus=frozenset(own), nodes=frozenset([i]), threads=len(own), memory=memory)
        for i, own in enumerate(cpus)
    )
    return Plan(topology="0" * 16, request=Request(), instances=instances, idle_cpus=frozenset())


def test_each_worker_knows_its_slice() -> None:
    launch = make_launch(plan({0, 1}, {2, 3}), Job(program="a.py"), {})
    environment = launch.workers[1].environment
    assert environment["IPEXLAUNCH_INDEX"] == "1"
    assert environment["IPEXLAUNCH_COUNT"] == "2"
    assert environment["IPEXLAUNCH_CPUS"] == "2-3"
    assert environment["IPEXLAUNCH_NODES"] == "1"
    assert environment["OMP_NUM_THREADS"] == "2"


def test_no_two_workers_share_an_environment() -> None:
    first, second = make_launch(plan({0}, {1}), Job(program="a.py"), {}).workers
    assert first.environment is not second.environment


@pytest.mark.parametrize(
    ("kind", "argv"),
    [
        ("script", ("py", "-u", "prog", "x")),
        ("module", ("py", "-u", "-m", "prog", "x")),
        ("executable", ("prog", "x")),
    ],
)
def test_the_command_of_each_kind_of_program(kind: str, argv: tuple[str, ...]) -> None:
    job = Job(program="prog", arguments=("x",), kind=kind, python="py")  # type: ignore[arg-type]
    assert make_launch(plan({0}), job, {}).workers[0].argv == argv


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0{}")), max_size=5))
def test_arguments_without_braces_arrive_as_they_are(arguments: list[str]) -> None:
    job = Job(program="a.py", arguments=tuple(arguments), python="py")
    assert list(make_launch(plan({0}), job, {}).workers[0].argv[3:]) == arguments


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{index}", "3"),
        ("shard-{index}-of-{count}", "shard-3-of-8"),
        ("{{index}}", "{index}"),
        ("{other} {} { {0} ${HOME}", "{other} {} { {0} ${HOME}"),
        ('{"index": {index}}', '{"index": 3}'),
        ("{index}}", "3}"),
        ("{{index}", "{3"),
    ],
)
def test_templates_replace_known_names_and_nothing_else(text: str, filled: str) -> None:
    assert fill_template(text, {"index": "3", "count": "8"}) == filled


def test_variables_of_the_user_win_and_may_hold_templates() -> None:
    job = Job(program="a.py", environment={"OMP_NUM_THREADS": "7", "PORT": "{port}"}, first_port=5000)
    first, second = make_launch(plan({0}, {1}), job, {}).workers
    assert first.environment["OMP_NUM_THREADS"] == "7"
    assert (first.environment["PORT"], second.environment["PORT"]) == ("5000", "5001")


def test_a_thread_count_from_outside_is_replaced_and_the_user_is_told() -> None:
    launch = make_launch(plan({0, 1}), Job(program="a.py"), {"OMP_NUM_THREADS": "1"})
    assert launch.workers[0].environment["OMP_NUM_THREADS"] == "2"
    assert "OMP_NUM_THREADS=1" in launch.notes[0]
    assert not make_launch(plan({0, 1}), Job(program="a.py"), {"OMP_NUM_THREADS": "2"}).notes


def test_intel_openmp_is_preloaded_with_settings_that_leave_the_main_thread_its_slice() -> None:
    job = Job(program="a.py", libraries={"iomp5": "/x/libiomp5.so", "jemalloc": "/y/libjemalloc.so.2"})
    environment = make_launch(plan({0, 1}), job, {}).workers[0].environment
    assert environment["LD_PRELOAD"] == "/x/libiomp5.so:/y/libjemalloc.so.2"
    assert environment["KMP_AFFINITY"] == IOMP_AFFINITY
    assert IOMP_AFFINITY.endswith(",reset")
    assert "metadata_thp" in environment["MALLOC_CONF"]


def test_without_intel_openmp_nothing_binds_single_threads() -> None:
    environment = make_launch(plan({0, 1}), Job(program="a.py"), {}).workers[0].environment
    assert not {"OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY", "LD_PRELOAD"} & set(environment)


def test_settings_that_the_user_made_are_kept() -> None:
    job = Job(program="a.py", libraries={"iomp5": "/x/libiomp5.so"})
    launch = make_launch(plan({0, 1}), job, {"KMP_AFFINITY": "disabled", "LD_PRELOAD": "/u/libiomp5.so:/u/other.so"})
    environment = launch.workers[0].environment
    assert "KMP_AFFINITY" not in environment
    assert "LD_PRELOAD" not in environment
    assert not launch.notes


@pytest.mark.parametrize(
    ("name", "value", "warned"),
    [
        ("KMP_AFFINITY", "granularity=fine,compact,1,0", True),
        ("KMP_AFFINITY", "granularity=fine,compact,1,0,reset", False),
        ("KMP_AFFINITY", "none", False),
        ("KMP_AFFINITY", "verbose", False),
        ("OMP_PLACES", "cores", True),
        ("OMP_PLACES", "{0,1}", False),
        ("GOMP_CPU_AFFINITY", "0 1", True),
        ("OMP_PROC_BIND", "CLOSE", True),
        ("OMP_PROC_BIND", "false", False),
    ],
)
def test_settings_that_collapse_affinity_are_named(name: str, value: str, warned: bool) -> None:
    notes = make_launch(plan({0, 1}), Job(program="a.py"), {name: value}).notes
    assert bool(notes) == warned
    assert all(name in note for note in notes)


@pytest.mark.parametrize(
    ("inherited", "asked", "path"),
    [
        (None, None, "/ours"),
        ("", None, "/ours"),
        ("/theirs", None, "/ours:/theirs"),
        ("/a:/ours::/b", None, "/ours:/a::/b"),
        ("/theirs", "/asked/{index}", "/ours:/asked/0"),
        ("/theirs", "", "/ours"),
    ],
)
def test_our_folder_stands_first_and_the_users_python_path_is_kept(
    inherited: str | None, asked: str | None, path: str
) -> None:
    environment = {} if asked is None else {"PYTHONPATH": asked}
    job = Job(program="a.py", module_path="/ours", environment=environment)
    (worker,) = make_launch(plan({0}), job, {} if inherited is None else {"PYTHONPATH": inherited}).workers
    assert worker.environment["PYTHONPATH"] == path


def test_what_stands_before_libraries_comes_behind_our_own_folder_and_only_where_it_is_asked_for() -> None:
    job = Job(program="a.py", module_path="/p/worker/import_path", fix_pinning=True)
    (worker,) = make_launch(plan({0}), job, {"PYTHONPATH": "/theirs:/p/worker/fix_pinning"}).workers
    assert worker.environment["PYTHONPATH"] == "/p/worker/import_path:/p/worker/fix_pinning:/theirs"


def test_a_folder_that_python_path_cannot_name_is_left_out_and_said() -> None:
    launch = make_launch(plan({0}), Job(program="a.py", module_path="/at/12:30"), {"PYTHONPATH": "/theirs"})
    assert "PYTHONPATH" not in launch.workers[0].environment
    assert "scripts cannot import ipexlaunch.worker" in launch.notes[0]


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(RequestError):
        make_launch(plan({0}), Job(program="a.py", environment={"": "x"}), {})


def test_the_shell_line_of_a_machine_without_nodes_names_none() -> None:
    bare = Instance(index=0, cpus=frozenset({0, 1}), nodes=frozenset(), threads=2, memory="bind")
    launch = make_launch(replace(plan({0}), instances=(bare,)), Job(program="a.py", python="py"), {})
    assert shell_line(launch.workers[0]).endswith(" taskset -c 0-1 py -u a.py")


@pytest.mark.parametrize(
    ("memory", "option"),
    [
        ("bind", "--membind=0"),
        ("preferred", "--preferred=0"),
        ("interleave", "--interleave=0"),
        ("preferred-many", "--preferred-many=0"),
        ("weighted-interleave", "--weighted-interleave=0"),
        ("local", "--localalloc"),
        ("none", ""),
    ],
)
def test_the_shell_line_has_the_form_of_numactl(memory: str, option: str) -> None:
    line = shell_line(make_launch(plan({0, 1}, memory=memory), Job(program="a b.py", python="py"), {}).workers[0])
    words = shlex.split(line)
    assert words[0] == "env"
    assert words[words.index("numactl") :] == ["numactl", "--physcpubind=0-1", *option.split(), "py", "-u", "a b.py"]
