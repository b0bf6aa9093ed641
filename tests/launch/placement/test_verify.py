from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.launch.placement.placement import Affinity, Binding, Oversubscription, Placement, oversubscription_of
from ipexlaunch.launch.placement.verify import (
    affinity_collapsed,
    doubts,
    downsampled,
    misplacements_at_worst,
    proof_of,
)
from ipexlaunch.plan import Instance

MIB = 1 << 20
INSTANCE = Instance(index=3, cpus=frozenset({4, 5}), nodes=frozenset({1}), threads=2)
BOUND = Binding(cpus=frozenset({4, 5}), memory="bind", nodes=frozenset({1}))


def placed(cpus: set[int], pages: dict[int, int] | None, main: set[int] | None = None) -> Placement:
    return Placement(
        cpus=frozenset(cpus), threads=2, pinned_threads=0, main_thread_cpus=frozenset(main or cpus), pages=pages
    )


def misplacements(instance: Instance, placement: Placement, binding: Binding, *required: float) -> list[str]:
    return misplacements_at_worst(instance, [placement], binding, *required)


def test_a_worker_in_its_place_gives_no_reason() -> None:
    assert misplacements(INSTANCE, placed({4, 5}, {1: 99 << 20, 0: 1 << 20}), BOUND) == []


def test_a_thread_outside_the_slice_is_a_reason() -> None:
    (reason,) = misplacements(INSTANCE, placed({4, 5, 9}, {1: 99 << 20}), BOUND)
    assert "cpus 9" in reason
    assert "instance 3" in reason


def test_memory_elsewhere_is_a_reason_with_its_share() -> None:
    (reason,) = misplacements(INSTANCE, placed({4, 5}, {1: 80 << 20, 0: 20 << 20}), BOUND)
    assert "80.0%" in reason
    assert misplacements(INSTANCE, placed({4, 5}, {1: 80 << 20, 0: 20 << 20}), BOUND, 0.8) == []


@pytest.mark.parametrize(
    ("pages", "binding"),
    [
        (None, BOUND),
        ({0: 1 << 20}, BOUND),
        ({0: 99 << 20}, Binding(cpus=BOUND.cpus, memory="none", nodes=frozenset(), refused="EPERM")),
        ({0: 99 << 20}, Binding(cpus=BOUND.cpus, memory="none", nodes=frozenset())),
    ],
    ids=["unknown", "too little to judge", "refused at the start", "not asked for"],
)
def test_memory_that_cannot_be_judged_gives_no_reason(pages: dict[int, int] | None, binding: Binding) -> None:
    assert misplacements(INSTANCE, placed({4, 5}, pages), binding) == []


def test_a_main_thread_on_one_cpu_of_several_is_a_collapse() -> None:
    assert affinity_collapsed(INSTANCE, placed({4, 5}, None, main={4}))
    assert not affinity_collapsed(INSTANCE, placed({4, 5}, None))
    one = Instance(index=0, cpus=frozenset({4}), nodes=frozenset({1}), threads=1)
    assert not affinity_collapsed(one, placed({4}, None))


def test_the_reason_names_a_thread_that_may_leave() -> None:
    placement = replace(
        placed({4, 5, 9}, None),
        affinities=(
            Affinity(frozenset({4, 5}), 7, "thread 10 'python' of process 10"),
            Affinity(frozenset({5, 9}), 1, "thread 12 'pt_data_worker' of process 11"),
        ),
    )
    (reason,) = misplacements(INSTANCE, placement, BOUND)
    assert "thread 12 'pt_data_worker' of process 11" in reason


def test_of_several_threads_that_may_leave_the_reason_names_the_one_whose_library_is_known() -> None:
    placement = replace(
        placed({4, 5, 8, 9}, None),
        affinities=(
            Affinity(frozenset({8}), 1, "thread 11 'python' of process 10"),
            Affinity(frozenset({9}), 1, "thread 12 'python' of process 10", "/usr/lib/libonnxruntime.so.1"),
        ),
    )
    (reason,) = misplacements(INSTANCE, placement, BOUND)
    assert "(thread 12 'python' of process 10): ONNX Runtime is loaded there (libonnxruntime.so.1)" in reason
    assert "thread 11" not in reason


def test_a_thread_that_was_elsewhere_and_is_inside_again_is_a_reason() -> None:
    (reason,) = misplacements(INSTANCE, replace(placed({4, 5}, None), last_cpus=frozenset({4, 8})), BOUND)
    assert "ran on cpus 8" in reason


def test_a_worker_that_was_not_pinned_cannot_leave() -> None:
    free = Instance(index=0, cpus=frozenset(), nodes=frozenset(), memory="none", threads=1)
    placement = replace(placed({0, 1}, {0: 99 * MIB}), last_cpus=frozenset({1}))
    assert misplacements(free, placement, Binding(cpus=frozenset({0, 1}), memory="none", nodes=frozenset())) == []
    assert placement.local_share(free.nodes) is None


@pytest.mark.parametrize(
    ("planned", "policy", "words"),
    [
        ("bind", "default", "given up the binding"),
        ("bind", "local", "given up the binding"),
        ("bind", "interleave:0-1", "has set itself"),
        ("bind", "prefer:0", "has set itself"),
        ("bind", "bind:0", "has changed it"),
        ("bind", "bind=static:0-1", "has changed it"),
        ("bind", "bind:1", "moved later"),
        ("preferred", "prefer:1", "none free"),
        ("preferred", "prefer (many):1", "has set itself"),
        ("preferred-many", "prefer (many):1", "none free"),
        ("weighted-interleave", "weighted interleave:1", "moved later"),
    ],
)
def test_remote_memory_is_explained_by_the_policy_of_its_mappings(planned: str, policy: str, words: str) -> None:
    placement = replace(
        placed({4, 5}, {1: 60 * MIB, 0: 40 * MIB}),
        by_policy={"bind:7": {1: 60 * MIB, 0: MIB}, policy: {0: 39 * MIB}},
    )
    (reason,) = misplacements(INSTANCE, placement, replace(BOUND, memory=planned))
    assert words in reason
    assert f"39 MiB elsewhere has the policy {policy}" in reason


def test_where_the_policy_is_not_known_the_share_alone_is_the_reason() -> None:
    (reason,) = misplacements(INSTANCE, placed({4, 5}, {0: 9 * MIB}), BOUND)
    assert reason.endswith("wanted)")


def test_over_many_looks_each_way_is_told_once_where_it_was_worst() -> None:
    looks = [placed({4, 5}, {1: (99 - i) * MIB, 0: i * MIB}) for i in (1, 30, 20)]
    looks[1] = replace(looks[1], cpus=frozenset({4, 5, 8}))
    looks[2] = replace(looks[2], cpus=frozenset({4, 5, 8, 9}), last_cpus=frozenset({10}))
    strayed, been, remote = misplacements_at_worst(INSTANCE, looks, BOUND)
    assert "cpus 8-9" in strayed
    assert "cpus 10" in been
    assert "69.7%" in remote
    assert misplacements_at_worst(INSTANCE, [], BOUND) == []


def test_a_look_with_too_little_memory_to_judge_does_not_hide_one_with_enough() -> None:
    looks = [placed({4, 5}, {0: MIB}), placed({4, 5}, {1: 50 * MIB, 0: 50 * MIB})]
    (reason,) = misplacements_at_worst(INSTANCE, looks, BOUND)
    assert "50.0%" in reason


ALL = frozenset({4, 5})


@pytest.mark.parametrize(
    ("threads", "crowd"),
    [
        ([], None),
        ([(ALL, 10.0), (ALL, 10.0)], None),
        ([(ALL, 10.0), (ALL, 9.9), *[(ALL, 0.01)] * 50], None),
        ([(ALL, 5.0)] * 4, Oversubscription(ALL, 4)),
        ([(ALL, 2.5)] * 8 + [(ALL, 0.0)] * 90, Oversubscription(ALL, 8)),
        # half of the time nobody works: crowded perhaps, but with time to spare
        ([(ALL, 2.5)] * 4, None),
        # an affinity that collapsed: the slice has room, its first cpu has none
        ([(frozenset({4}), 2.5)] * 4, Oversubscription(frozenset({4}), 4)),
        # threads that are bound one to a cpu and others that are free to go anywhere
        ([(frozenset({4}), 10.0), (frozenset({5}), 10.0)], None),
        ([(frozenset({4}), 5.0), (frozenset({5}), 5.0), (ALL, 5.0), (ALL, 5.0)], Oversubscription(ALL, 4)),
        ([(frozenset({4}), 3.4)] * 3 + [(frozenset({5}), 5.0)] * 2, Oversubscription(frozenset({4}), 3)),
    ],
)
def test_a_crowd_is_more_busy_threads_than_cpus_without_time_to_spare(
    threads: list[tuple[frozenset[int], float]], crowd: Oversubscription | None
) -> None:
    assert oversubscription_of(threads, 10.0) == crowd


@given(st.integers(1, 64), st.floats(0.01, 3600))
def test_as_many_busy_threads_as_cpus_are_no_crowd_and_twice_as_many_are(count: int, seconds: float) -> None:
    cpus = frozenset(range(count))
    assert oversubscription_of([(cpus, seconds)] * count, seconds) is None
    assert oversubscription_of([(cpus, seconds / 2)] * 2 * count, seconds) == Oversubscription(cpus, 2 * count)


def test_what_costs_speed_is_told_with_names_and_numbers() -> None:
    quiet = placed({4, 5}, None)
    loud = replace(
        quiet,
        main_thread_cpus=frozenset({4}),
        crowd=Oversubscription(ALL, 8),
        crowded_looks=2,
        looks=3,
        openmp_clashes=frozenset({("/a/libgomp.so.1", "/b/libiomp5.so")}),
        unclear=2,
    )
    collapsed, crowded, clash, unclear = doubts(INSTANCE, [quiet, loud])
    assert "held to one cpu" in collapsed
    assert "8 busy threads shared 2 cpus (4-5) in 2 of 4 looks" in crowded
    assert "/a/libgomp.so.1 and /b/libiomp5.so" in clash
    assert "2 texts" in unclear
    assert doubts(INSTANCE, [quiet]) == doubts(INSTANCE, []) == []


CPUS = st.frozensets(st.integers(3, 8), min_size=1)
LOOKS = st.builds(
    Placement,
    cpus=CPUS,
    threads=st.just(2),
    pinned_threads=st.just(0),
    main_thread_cpus=CPUS,
    pages=st.none() | st.dictionaries(st.integers(0, 2), st.integers(0, 9).map(MIB.__mul__)),
    page_looks=st.integers(0, 1),
    last_cpus=CPUS,
    openmp=st.just(frozenset()),
    openmp_clashes=st.frozensets(st.sampled_from([("a", "b"), ("a", "c")])),
    crowd=st.none() | st.builds(Oversubscription, CPUS, st.integers(1, 20)),
    crowded_looks=st.integers(0, 1),
    unclear=st.integers(0, 2),
)


@given(st.lists(LOOKS, max_size=30))
def test_thinned_looks_are_few_and_say_the_same(looks: list[Placement]) -> None:
    thin = downsampled(looks, INSTANCE)
    step_by_step: list[Placement] = []
    for look in looks:
        step_by_step = downsampled([*step_by_step, look], INSTANCE)
    for few in (thin, step_by_step):
        assert len(few) <= 11
        assert misplacements_at_worst(INSTANCE, few, BOUND) == misplacements_at_worst(INSTANCE, looks, BOUND)
        assert doubts(INSTANCE, few) == doubts(INSTANCE, looks)
        before, after = proof_of(looks), proof_of(few)
        assert (before is None) == (after is None)
        if before is not None and after is not None:
            assert replace(before, cpus=after.cpus, last_cpus=after.last_cpus) == after
            assert before.cpus - INSTANCE.cpus >= after.cpus - INSTANCE.cpus
            assert bool(before.cpus - INSTANCE.cpus) == bool(after.cpus - INSTANCE.cpus)


def test_the_proof_sums_the_looks_and_shows_the_last() -> None:
    first = replace(placed({4, 5}, {1: MIB}), transparent_huge_bytes=7, migrations=3, openmp=frozenset({"b"}))
    last = replace(
        placed({4}, {1: 2 * MIB}),
        page_looks=0,
        last_cpus=frozenset({4}),
        processes=2,
        daemons=1,
        openmp=frozenset({"a"}),
    )
    proof = proof_of([first, last])
    assert proof is not None
    assert (proof.looks, proof.page_looks, proof.cpus, proof.last_cpus) == (2, 1, ALL, frozenset({4}))
    assert (proof.processes, proof.daemons, proof.anonymous_bytes) == (2, 1, {1: 2 * MIB})
    assert (proof.transparent_huge_bytes, proof.migrations, proof.openmp) == (7, 3, ("a", "b"))
    assert proof_of([]) is None


@pytest.mark.parametrize(
    ("crowd", "words"),
    [
        (Oversubscription(ALL, 8, ("DuckDB",), 1), "they are those of DuckDB: `SET threads = 2`"),
        (
            Oversubscription(ALL, 4, ("Python's pools",), 4),
            "they are those of 4 processes of Python's pools: max_workers=2",
        ),
        (Oversubscription(ALL, 8, ("pigz",), 1), "of pigz: pigz -p 2"),
        (
            Oversubscription(ALL, 8, ("OpenBLAS", "zstd"), 1),
            "of OpenBLAS: OPENBLAS_NUM_THREADS=2; and of zstd: zstd -T2",
        ),
        (Oversubscription(ALL, 8, ("my-program",), 1), "of my-program; see its own options"),
        (Oversubscription(ALL, 8), "fewer threads would do more (OMP_NUM_THREADS,"),
    ],
)
def test_a_crowd_is_told_with_its_owner_and_the_owners_option(crowd: Oversubscription, words: str) -> None:
    (found,) = doubts(INSTANCE, [replace(placed({4, 5}, None), crowd=crowd, crowded_looks=1)])
    assert words in found
