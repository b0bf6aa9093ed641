"""Governor, energy preference, boost, limits and clock source: the good and the bad case of each."""

from __future__ import annotations

import pytest

from tests.doctor.hosts import CPUFREQ, answer

GOVERNOR = CPUFREQ + "/policy*/scaling_governor"
DRIVER = CPUFREQ + "/policy*/scaling_driver"
PREFERENCE = CPUFREQ + "/policy*/energy_performance_preference"
LIMIT = CPUFREQ + "/policy*/scaling_max_freq"
BOOST = CPUFREQ + "/boost"
NO_TURBO = "/sys/devices/system/cpu/intel_pstate/no_turbo"
CLOCK = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
CLOCKS = "/sys/devices/system/clocksource/clocksource0/available_clocksource"


@pytest.mark.parametrize(
    ("governor", "driver", "severity"),
    [
        ("performance", "intel_pstate", "ok"),
        ("performance", "acpi-cpufreq", "ok"),
        ("schedutil", "acpi-cpufreq", "warning"),
        ("ondemand", "acpi-cpufreq", "warning"),
        ("powersave", "intel_pstate", "warning"),
        ("powersave", "amd-pstate-epp", "warning"),
        ("powersave", "acpi-cpufreq", "problem"),
        ("powersave", "intel_cpufreq", "problem"),
        ("powersave", None, "unknown"),
    ],
)
def test_a_governor_is_judged_by_its_driver(governor: str, driver: str | None, severity: str) -> None:
    found = answer("governor", {GOVERNOR: governor + "\n", DRIVER: driver})
    assert found.severity == severity
    if severity in ("warning", "problem"):
        assert found.command == f"echo performance | sudo tee {GOVERNOR}"
        assert governor in found.message


def test_the_cpus_of_each_governor_are_told_apart() -> None:
    found = answer("governor", {CPUFREQ + "/policy3/scaling_governor": "schedutil\n"})
    assert found.severity == "warning"
    shown = {seen.where: seen.value for seen in found.evidence}
    assert shown[CPUFREQ + "/policy{0-2,4-7}/scaling_governor"] == "performance"
    assert shown[CPUFREQ + "/policy3/scaling_governor"] == "schedutil"


@pytest.mark.parametrize(
    ("preference", "severity"),
    [
        ("performance", "ok"),
        ("balance_performance", "ok"),
        ("0", "ok"),
        ("128", "ok"),
        ("default", "note"),
        ("balance_power", "warning"),
        ("power", "warning"),
        ("192", "warning"),
    ],
)
def test_an_energy_preference_that_saves_power_is_found(preference: str, severity: str) -> None:
    found = answer("energy-preference", {PREFERENCE: preference + "\n"})
    assert found.severity == severity
    assert bool(found.command) == (severity != "ok")


@pytest.mark.parametrize(
    ("no_turbo", "boost", "severity", "command"),
    [
        ("0\n", None, "ok", ""),
        ("1\n", None, "warning", f"echo 0 | sudo tee {NO_TURBO}"),
        (None, "1\n", "ok", ""),
        (None, "0\n", "warning", f"echo 1 | sudo tee {BOOST}"),
        (None, None, "note", ""),
        ("2\n", None, "unknown", ""),
    ],
)
def test_turbo_is_read_where_the_driver_has_it(
    no_turbo: str | None, boost: str | None, severity: str, command: str
) -> None:
    found = answer("turbo", {NO_TURBO: no_turbo, BOOST: boost})
    assert (found.severity, found.command) == (severity, command)


def test_a_lowered_limit_is_found_with_the_cpus_it_holds() -> None:
    changes = {CPUFREQ + f"/policy{cpu}/scaling_max_freq": "2000000\n" for cpu in (1, 2)}
    found = answer("frequency-limit", dict(changes))
    assert found.severity == "warning"
    assert [(seen.where, seen.value) for seen in found.evidence] == [
        (CPUFREQ + "/policy{1-2}/scaling_max_freq", "2000000 kHz of 3800000 kHz")
    ]
    assert answer("frequency-limit", {LIMIT: "3800000\n"}).severity == "ok"


@pytest.mark.parametrize(
    ("clock", "offered", "severity", "command"),
    [
        ("tsc", "tsc hpet", "ok", ""),
        ("kvm-clock", "kvm-clock", "ok", ""),
        ("arch_sys_counter", None, "ok", ""),
        ("hpet", "tsc hpet", "warning", f"echo tsc | sudo tee {CLOCK}"),
        ("acpi_pm", "hpet acpi_pm", "warning", "sudo dmesg | grep -i tsc"),
        ("hpet", None, "warning", "sudo dmesg | grep -i tsc"),
    ],
)
def test_a_slow_clock_source_is_found(clock: str, offered: str | None, severity: str, command: str) -> None:
    found = answer("clock-source", {CLOCK: clock + "\n", CLOCKS: offered})
    assert (found.severity, found.command) == (severity, command)
