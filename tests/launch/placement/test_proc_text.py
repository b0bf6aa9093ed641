"""Texts of real kernels, and texts that no kernel wrote."""

import os
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipexlaunch.launch.placement.proc_text import (
    Memory,
    memory_of,
    migrations_of,
    openmp_clash,
    openmp_of,
    peak_memory_bytes_of,
    sum_of,
    thread_stat,
    transparent_huge_bytes_of,
    variable_of,
)

PAGE, HUGE, GIB = 4096, 2 << 20, 1 << 30
EXAMPLES = int(os.environ.get("IPEXLAUNCH_EXAMPLES", "200"))

# The example of Documentation/filesystems/proc.rst (the last line is the vdso: mapped, not anonymous, and no file).
DOCUMENTED = r"""00400000 default file=/usr/local/bin/app mapped=1 active=0 N3=1 kernelpagesize_kB=4
00600000 default file=/usr/local/bin/app anon=1 dirty=1 N3=1 kernelpagesize_kB=4
3206000000 default file=/lib64/ld-2.12.so mapped=26 mapmax=6 N0=24 N3=2 kernelpagesize_kB=4
320621f000 default file=/lib64/ld-2.12.so anon=1 dirty=1 N3=1 kernelpagesize_kB=4
3206220000 default file=/lib64/ld-2.12.so anon=1 dirty=1 N3=1 kernelpagesize_kB=4
3206221000 default anon=1 dirty=1 N3=1 kernelpagesize_kB=4
3206800000 default file=/lib64/libc-2.12.so mapped=59 mapmax=21 active=55 N0=41 N3=18 kernelpagesize_kB=4
320698b000 default file=/lib64/libc-2.12.so
3206b8a000 default file=/lib64/libc-2.12.so anon=2 dirty=2 N3=2 kernelpagesize_kB=4
3206b8e000 default file=/lib64/libc-2.12.so anon=1 dirty=1 N3=1 kernelpagesize_kB=4
3206b8f000 default anon=3 dirty=3 active=1 N3=3 kernelpagesize_kB=4
7f4dc10a2000 default anon=3 dirty=3 N3=3 kernelpagesize_kB=4
7f4dc10b4000 default anon=2 dirty=2 active=1 N3=2 kernelpagesize_kB=4
7f4dc1200000 default file=/anon_hugepage\040(deleted) huge anon=1 dirty=1 N3=1 kernelpagesize_kB=2048
7fff335f0000 default stack anon=3 dirty=3 N3=3 kernelpagesize_kB=4
7fff3369d000 default mapped=1 mapmax=35 active=0 N3=1 kernelpagesize_kB=4
"""

MAPPINGS = [
    # (line, kind, bytes by node, policy); where a kernel or a machine is known, it is named
    ("7f0 bind:1 anon=51200 dirty=51200 active=0 N1=51200 kernelpagesize_kB=4", "anonymous", {1: 200 << 20}, "bind:1"),
    ("5ed default heap anon=471 dirty=471 active=0 N0=470 N11=1 kernelpagesize_kB=4", "anonymous",
     {0: 470 * PAGE, 11: PAGE}, "default"),
    ("7ff prefer:3 stack anon=8 dirty=8 N3=8 kernelpagesize_kB=4", "anonymous", {3: 8 * PAGE}, "prefer:3"),
    # Linux 3.x to 4.4 name the thread of a stack, and 3.10 has no page size
    ("7fa bind:0 stack:4711 anon=3 dirty=3 active=0 N0=3", "anonymous", {0: 3 * PAGE}, "bind:0"),
    ("581a00000 default file=/anon_hugepage\\040(deleted) huge anon=258 dirty=258 N0=150 N1=108", "huge",
     {0: 150 * HUGE, 1: 108 * HUGE}, "default"),
    # a machine with pages of 64 KiB (ppc64le, arm64)
    ("7ffe default anon=1009 dirty=1009 active=0 N6=1009 kernelpagesize_kB=64", "anonymous",
     {6: 1009 << 16}, "default"),
    # pages of 1 GiB
    ("7f4 interleave:0-1 file=/anon_hugepage\\040(deleted) huge anon=4 dirty=4 N0=2 N1=2 kernelpagesize_kB=1048576",
     "huge", {0: 2 * GIB, 1: 2 * GIB}, "interleave:0-1"),
    # the two policies with a blank in their name, Linux 5.15 and 6.9
    ("7f4 prefer (many):0-1 anon=5 dirty=5 N0=4 N1=1 kernelpagesize_kB=4", "anonymous",
     {0: 4 * PAGE, 1: PAGE}, "prefer (many):0-1"),
    ("7f4 weighted interleave:0,2 anon=4 dirty=4 N0=3 N2=1 kernelpagesize_kB=4", "anonymous",
     {0: 3 * PAGE, 2: PAGE}, "weighted interleave:0,2"),
    ("7f4 bind=static:4-5 anon=1 N4=1 kernelpagesize_kB=4", "anonymous", {4: PAGE}, "bind=static:4-5"),
    # shared memory: System V with and without huge pages, POSIX, memfd, MAP_SHARED|MAP_ANONYMOUS
    ("7f0 default file=/SYSV00000000\\040(deleted) huge dirty=5 N1=5 kernelpagesize_kB=2048", "shared",
     {1: 5 * HUGE}, "default"),
    ("100 bind:0 file=/SYSV00000000\\040(deleted) dirty=16 mapped=16 N0=12 N1=4 kernelpagesize_kB=4", "shared",
     {0: 12 * PAGE, 1: 4 * PAGE}, "bind:0"),
    ("7f1 default file=/dev/shm/torch_4711_1\\040(deleted) dirty=7 mapmax=3 N0=7 kernelpagesize_kB=4", "shared",
     {0: 7 * PAGE}, "default"),
    ("7f1 default file=/memfd:buffer\\040(deleted) dirty=2 active=0 N0=2 kernelpagesize_kB=4", "shared",
     {0: 2 * PAGE}, "default"),
    ("7f1 default file=/dev/zero\\040(deleted) dirty=2 active=0 N0=2 kernelpagesize_kB=4", "shared",
     {0: 2 * PAGE}, "default"),
    ("7f1 default file=/mnt/huge/pool huge dirty=2 N1=2 kernelpagesize_kB=2048", "shared", {1: 2 * HUGE}, "default"),
    # files, with blanks and "=" in their names escaped
    ("7f1 default file=/models/a\\040b\\075N1\\0753.safetensors mapped=99 N0=99 kernelpagesize_kB=4", "file",
     {0: 99 * PAGE}, "default"),
    ("7f1 default mapped=1 mapmax=35 active=0 N3=1 kernelpagesize_kB=4", "file", {3: PAGE}, "default"),
    ("7f1 default file=/models/a\u2028b\x85c\x0cd mapped=9 N0=9 kernelpagesize_kB=4", "file", {0: 9 * PAGE}, "default"),
    # written copies only, on several nodes
    ("7f1 bind:1 file=/lib/libtorch.so anon=6 dirty=6 N0=1 N1=5 kernelpagesize_kB=4", "anonymous",
     {0: PAGE, 1: 5 * PAGE}, "bind:1"),
    # pages of both kinds on several nodes of a mapping with a file: it is not told which are where
    ("7f1 bind:1 file=/lib/libtorch.so anon=6 dirty=6 mapped=9 N0=3 N1=6 kernelpagesize_kB=4", "file",
     {0: 3 * PAGE, 1: 6 * PAGE}, "bind:1"),
    ("7f1 bind:1 heap anon=6 dirty=6 mapped=9 N0=3 N1=6 kernelpagesize_kB=4", "anonymous",
     {0: 3 * PAGE, 1: 6 * PAGE}, "bind:1"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "kind", "sizes", "policy"), MAPPINGS)
def test_a_mappings_pages_are_of_their_kind_node_and_size(
    line: str, kind: str, sizes: dict[int, int], policy: str
) -> None:
    memory = memory_of(line + "\n")
    for other in ("anonymous", "huge", "shared", "file"):
        assert getattr(memory, other) == (sizes if other == kind else {}), other
    assert memory.by_policy == ({policy: sizes} if kind in ("anonymous", "huge") else {})
    assert memory.unclear == 0


def test_the_example_of_the_kernels_documentation() -> None:
    memory = memory_of(DOCUMENTED)
    assert memory.anonymous == {3: (1 + 1 + 1 + 1 + 2 + 1 + 3 + 3 + 2 + 3) * PAGE}
    assert memory.huge == {3: HUGE}
    assert memory.file == {0: (24 + 41) * PAGE, 3: (1 + 2 + 18 + 1) * PAGE}
    assert memory.shared == {}
    assert memory.by_policy == {"default": {3: 18 * PAGE + HUGE}}
    assert memory.unclear == 0


def test_written_copies_and_pages_of_the_file_on_one_node_are_told_apart() -> None:
    memory = memory_of("7f1 bind:1 file=/lib/libtorch.so anon=6 dirty=6 mapped=9 N1=9 kernelpagesize_kB=4\n")
    assert memory.anonymous == {1: 6 * PAGE}
    assert memory.file == {1: 3 * PAGE}


def test_where_a_line_does_not_say_the_page_size_is_the_machines() -> None:
    assert memory_of("7f1 default anon=2 dirty=2 N0=2\n", page_kb=64).anonymous == {0: 2 << 16}


@pytest.mark.parametrize(
    "line",
    ["", "7f1", "zzz default anon=1 N0=1", "7f1 default anon=x N0=1", "7f1 default anon=1 N0=",
     "7f1 default anon=2 N0=1",
     "7f1 default anon=1 N0=1 N0=1", "7f1 default anon=1 N0=1 kernelpagesize_kB=-4", "7f1 default anon=1 N0=1x",
     "7f1 default anon=² N0=1", "7f1 default N²=1", "7f1 default N0=" + "9" * 5000, "7f1 default anon=" + "9" * 5000],
)  # fmt: skip
def test_one_broken_line_is_counted_and_spoils_no_other(line: str) -> None:
    lines = DOCUMENTED.splitlines()
    whole = memory_of(DOCUMENTED)
    for position in range(len(lines) + 1):
        memory = memory_of("\n".join([*lines[:position], line, *lines[position:]]) + "\n")
        assert memory.unclear == 1
        assert (memory.anonymous, memory.huge, memory.file) == (whole.anonymous, whole.huge, whole.file)


@settings(max_examples=EXAMPLES)
@given(st.integers(0, len(DOCUMENTED) - 1), st.characters(codec="utf-8"))
def test_one_changed_character_never_crashes_and_moves_no_other_lines_pages(at: int, character: str) -> None:
    memory = memory_of(DOCUMENTED[:at] + character + DOCUMENTED[at + 1 :])
    assert all(size >= 0 for sizes in (memory.anonymous, memory.huge, memory.file) for size in sizes.values())


WORDS = st.one_of(
    st.sampled_from(["heap", "stack", "huge", "anon=", "N", "N0", "=", "file=", "(many):", "default", "bind:0", "7f0"]),
    st.builds("N{}={}".format, st.integers(0, 1023), st.integers(0, 1 << 40)),
    st.builds("{}={}".format, st.sampled_from(["anon", "dirty", "mapped", "kernelpagesize_kB"]), st.integers()),
    st.builds("file={}".format, st.text(max_size=20)),
    st.text(max_size=12),
)
TEXTS = st.one_of(st.text(), st.lists(st.lists(WORDS, max_size=9).map(" ".join), max_size=6).map("\n".join))


@settings(max_examples=EXAMPLES)
@given(TEXTS)
def test_no_text_crashes_any_reader(text: str) -> None:
    memory = memory_of(text)
    assert sum_of([memory, Memory()]) == memory
    for sizes in (memory.anonymous, memory.huge, memory.shared, memory.file):
        assert all(size >= 0 for size in sizes.values())
    by_policy = sum(size for sizes in memory.by_policy.values() for size in sizes.values())
    assert by_policy == sum(memory.anonymous.values()) + sum(memory.huge.values())
    thread_stat(text)
    openmp_of(text)
    openmp_clash(text.split(), text)
    migrations_of(text)
    transparent_huge_bytes_of(text)
    peak_memory_bytes_of(text)
    variable_of(text, "A")


@st.composite
def mappings(draw: st.DrawFn) -> tuple[str, str, dict[int, int]]:
    """A line as the kernel would write it, the kind of its pages, and their bytes by node."""
    pages = draw(st.dictionaries(st.integers(0, 1023), st.integers(1, 1 << 30), min_size=1, max_size=12))
    kind = draw(st.sampled_from(["anonymous", "huge", "shared", "file"]))
    policy = draw(st.sampled_from(["default", "bind:0-3", "prefer (many):1", "weighted interleave:0-1", "local"]))
    size = draw(st.sampled_from([2048, 1 << 20] if kind == "huge" else [4, 16, 64]))
    name = {
        "anonymous": draw(st.sampled_from(["", " heap", " stack", " file=/usr/bin/python3.11"])),
        "huge": r" file=/anon_hugepage\040(deleted) huge",
        "shared": r" file=/dev/shm/pool",
        "file": draw(st.sampled_from([" file=/models/weights.bin", " file=/lib/libgomp.so.1"])),
    }[kind]
    total = sum(pages.values())
    counts = f" anon={total} dirty={total}" if kind in ("anonymous", "huge") else f" mapped={total}"
    nodes = "".join(f" N{node}={count}" for node, count in sorted(pages.items()))
    line = f"{draw(st.integers(0, (1 << 47) - 1)):08x} {policy}{name}{counts}{nodes} kernelpagesize_kB={size}"
    return line, kind, {node: count * size * 1024 for node, count in pages.items()}


@settings(max_examples=EXAMPLES)
@given(st.lists(mappings(), max_size=8))
def test_every_page_that_is_written_is_counted_once(written: list[tuple[str, str, dict[int, int]]]) -> None:
    memory = memory_of("".join(line + "\n" for line, _, _ in written))
    for kind in ("anonymous", "huge", "shared", "file"):
        expected: dict[int, int] = {}
        for _, its_kind, sizes in written:
            for node, size in sizes.items() if its_kind == kind else ():
                expected[node] = expected.get(node, 0) + size
        assert getattr(memory, kind) == expected


STAT = (
    "4711 (pt main (x) th) S 4700 4711 4711 0 -1 4194304 3541 88 0 0 153 21 0 0 20 0 34 0 80117 21020672 1482 "
    "18446744073709551615 1 1 0 0 0 0 0 16781312 16386 0 0 0 -1 {cpu} 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
)


def test_a_threads_name_state_time_start_and_last_cpu() -> None:
    stat = thread_stat(STAT.format(cpu=167))
    assert stat is not None
    assert (stat.name, stat.state, stat.ticks, stat.started, stat.last_cpu) == (
        "pt main (x) th", "S", 153 + 21, 80117, 167,
    )  # fmt: skip


@pytest.mark.parametrize("text", ["", "1 (x", "1 (x) S 1 2", STAT.format(cpu="x"), STAT[: STAT.index("-1 {cpu}")]])
def test_a_broken_thread_is_not_understood(text: str) -> None:
    assert thread_stat(text) is None


def test_migrations_are_those_of_this_thread_in_old_and_new_kernels() -> None:
    assert migrations_of("x (1, #threads: 1)\n---\nse.nr_migrations      :        24284\nnr_switches : 9\n") == 24284
    assert migrations_of("nr_migrations : 7\n") == 7
    assert migrations_of("se.statistics.nr_migrations_cold    :      3\n") is None
    assert migrations_of("") is None


MAPS = """\
55d0-55d1 r--p 00000000 fe:00 1 /usr/bin/python3.11
7f01-7f02 r-xp 00002000 fe:00 2 /venv/torch/lib/libgomp-a34b3233.so.1
7f02-7f03 rw-p 00002000 fe:00 2 /venv/torch/lib/libgomp-a34b3233.so.1
7f03-7f04 r-xp 00002000 fe:00 3 /opt/my env/lib/libiomp5.so (deleted)
7f04-7f05 r-xp 00002000 fe:00 4 /usr/lib/llvm-14/lib/libomp.so.5
7f05-7f06 r-xp 00002000 fe:00 5 /usr/lib/libgompertz.so.1
7f06-7f07 r-xp 00002000 fe:00 6 /usr/lib/libomptarget.so
7f06-7f07 r-xp 00002000 fe:00 6 /odd\u2028name/libomp.txt
7f07-7f08 r--p 00002000 fe:00 7 /home/libomp.so/notes.txt
7ffc-7ffd rw-p 00000000 00:00 0 [stack]
"""


def test_openmp_runtimes_are_known_by_their_file_names() -> None:
    assert openmp_of(MAPS) == {
        "/venv/torch/lib/libgomp-a34b3233.so.1",
        "/opt/my env/lib/libiomp5.so",
        "/usr/lib/llvm-14/lib/libomp.so.5",
    }


GOMP, IOMP, LLVM = "/venv/libgomp-a34b3233.so.1", "/opt/libiomp5.so", "/usr/lib/libomp.so.5"


@pytest.mark.parametrize(
    ("files", "preload", "clash"),
    [
        ([], "", ()),
        ([GOMP], "", ()),
        ([IOMP, GOMP], "", (IOMP, GOMP)),
        ([GOMP, "/usr/lib/libgomp.so.1"], "", ("/usr/lib/libgomp.so.1", GOMP)),
        ([IOMP, GOMP], IOMP, ()),
        ([IOMP, GOMP], f"/usr/lib/libjemalloc.so.2:{IOMP}", ()),
        ([LLVM, GOMP], f"/usr/lib/libtcmalloc.so.4 {LLVM}", ()),
        ([IOMP, GOMP], GOMP, (IOMP, GOMP)),
    ],
)
def test_two_runtimes_clash_unless_one_that_answers_for_all_is_preloaded(
    files: list[str], preload: str, clash: tuple[str, ...]
) -> None:
    assert openmp_clash(files, preload) == tuple(sorted(clash))


def test_sizes_and_variables() -> None:
    rollup = "55-7f ---p 00000000 00:00 0 [rollup]\nRss:    9 kB\nAnonHugePages:    6144 kB\nShmemPmdMapped:  0 kB\n"
    assert transparent_huge_bytes_of(rollup) == 6144 * 1024
    assert transparent_huge_bytes_of("") is None
    assert peak_memory_bytes_of("Name:\tx\nVmHWM:\t    1234 kB\nVmRSS:\t 1 kB\n") == 1234 * 1024
    assert peak_memory_bytes_of("Name:\tx\nState:\tZ (zombie)\n") == 0
    assert variable_of("A=1\0IPEXLAUNCH_INDEX=3\0B=C=D\0", "IPEXLAUNCH_INDEX") == "3"
    assert variable_of("A=1\0B=C=D\0", "B") == "C=D"
    assert variable_of("XA=1\0", "A") is None


def test_this_machines_own_texts_are_understood() -> None:
    with open("/proc/self/numa_maps") as file:
        memory = memory_of(file.read(), os.sysconf("SC_PAGE_SIZE") // 1024)
    assert memory.unclear == 0
    assert sum(memory.anonymous.values()) > 1 << 20
    with open("/proc/self/stat") as file:
        stat = thread_stat(file.read())
    assert stat is not None
    assert stat.state == "R"
    assert stat.last_cpu in os.sched_getaffinity(0)
    with open("/proc/self/status") as file:
        status = file.read()
    assert peak_memory_bytes_of(status) == int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) * 1024
