"""Signs of unlike cores where no file tells their kinds."""

from __future__ import annotations

from tests.machine.probe.small_tree import CPU, Text, cores, machine


def clocks(*khz: int) -> Text:
    return {f"{CPU}/cpu{cpu}/cpufreq/cpuinfo_max_freq": str(rate) for cpu, rate in enumerate(khz)}


def l2(*groups: str) -> Text:
    files: Text = {}
    for group in groups:
        first, _, last = group.partition("-")
        for cpu in range(int(first), int(last or first) + 1):
            base = f"{CPU}/cpu{cpu}/cache/index2"
            files |= {f"{base}/level": "2", f"{base}/type": "Unified", f"{base}/shared_cpu_list": group}
    return files


def gaps(*parts: Text) -> str:
    return " ".join(machine(*parts).gaps)


def test_maximum_frequencies_far_apart_are_a_sign() -> None:
    found = gaps(cores(4), clocks(4_800_000, 4_700_000, 3_500_000, 3_500_000))
    assert "cores differ (maximum frequencies go from 3.5 to 4.8 GHz), and no file says which are the fast" in found
    assert "--cores-list" in found
    assert "kind: efficiency" in found


def test_favoured_cores_of_one_kind_are_none() -> None:
    assert gaps(cores(4), clocks(5_880_000, 5_300_000, 5_100_000, 5_000_000)) == ""
    assert gaps(cores(2), {f"{CPU}/cpu0/cpufreq/cpuinfo_max_freq": "<unknown>"}) == ""


def test_caches_that_are_shared_unlike_are_a_sign() -> None:
    assert "L2 caches are shared unlike: 2 by 1 core each, 1 by 4 cores each" in gaps(cores(6), l2("0", "1", "2-5"))
    assert gaps(cores(6), l2("0-1", "2-3", "4-5")) == ""


def test_offline_cpus_explain_caches_that_fewer_share() -> None:
    offline: Text = {f"{CPU}/online": "0-4", f"{CPU}/cpu5/online": "0"}
    assert gaps(cores(6), l2("0-1", "2-3", "4"), offline) == ""


def test_told_kinds_need_no_sign() -> None:
    pmus: Text = {"sys/devices/cpu_core/cpus": "0-1", "sys/devices/cpu_atom/cpus": "2-5"}
    assert gaps(cores(6), l2("0", "1", "2-5"), clocks(5, 5, 3, 3, 3, 3), pmus) == ""
