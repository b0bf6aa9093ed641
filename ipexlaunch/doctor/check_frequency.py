"""How fast the clock may tick: governor, energy preference, boost, frequency limits, clock source.

Sources: Documentation/admin-guide/pm/cpufreq.rst, intel_pstate.rst and amd-pstate.rst of the Linux kernel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ipexlaunch.doctor.finding import Evidence, Finding, finding
from ipexlaunch.doctor.host_facts import Facts
from ipexlaunch.doctor.host_files_read import FileText, Undecidable
from ipexlaunch.machine.cpulist import format_list

POLICIES = "/sys/devices/system/cpu/cpufreq/policy*/"
GOVERNOR = POLICIES + "scaling_governor"
DRIVER = POLICIES + "scaling_driver"
PREFERENCE = POLICIES + "energy_performance_preference"
LIMIT = POLICIES + "scaling_max_freq"
HIGHEST = POLICIES + "cpuinfo_max_freq"
BOOST = "/sys/devices/system/cpu/cpufreq/boost"
NO_TURBO = "/sys/devices/system/cpu/intel_pstate/no_turbo"
CLOCK = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
CLOCKS = "/sys/devices/system/clocksource/clocksource0/available_clocksource"

PATHS = (GOVERNOR, DRIVER, PREFERENCE, LIMIT, HIGHEST, BOOST, NO_TURBO, CLOCK, CLOCKS)

SELF_GOVERNING = ("intel_pstate", "amd-pstate-epp")
"""Drivers whose "powersave" is a dynamic governor in the processor, not the lowest frequency."""

SLOW_CLOCKS = ("hpet", "acpi_pm", "jiffies", "pit", "refined-jiffies")
"""Clock sources without a vDSO path: every reading of the clock is a system call or a slow device."""

FAST_PREFERENCES = ("performance", "balance_performance", "0", "128")
"""128 is what "balance_performance" is stored as on Intel processors."""

NOT_VISIBLE = "No cpufreq driver is loaded: the firmware or the hypervisor alone decides the frequency"


def check_governor(facts: Facts) -> Finding:
    """Whether the governor holds the frequency up."""
    governors = _groups(facts.files.matching(GOVERNOR))
    if not governors:
        facts.files.require_live(GOVERNOR)
        return finding("note", NOT_VISIBLE, Evidence(GOVERNOR, "no such file"))
    drivers = _groups(facts.files.matching(DRIVER))
    seen = [*_evidence(GOVERNOR, governors), *_evidence(DRIVER, drivers)]
    if set(governors) == {"performance"}:
        return finding("ok", "The governor holds the frequency up", *seen)
    command = f"echo performance | sudo tee {GOVERNOR}"
    if "powersave" in governors and not drivers:
        problem = "it is missing, and what powersave means depends on it"
        raise Undecidable(problem, Evidence(DRIVER, "no such file"), *seen)
    lowest = "powersave" in governors and not drivers.keys() <= set(SELF_GOVERNING)
    names = " and ".join(sorted(set(governors) - {"performance"}))
    message = f"The governor {names} raises the frequency only after load is seen"
    if lowest:
        message = "The governor powersave holds these cpus at their lowest frequency"
    remedy = "choose the governor performance"
    return finding("problem" if lowest else "warning", message, *seen, remedy=remedy, command=command)


def check_energy_preference(facts: Facts) -> Finding:
    """Whether the processor itself is told to prefer speed over saving."""
    preferences = _groups(facts.files.matching(PREFERENCE))
    if not preferences:
        facts.files.require_live(PREFERENCE)
        return finding("ok", "The driver has no energy preference", Evidence(PREFERENCE, "no such file"))
    seen = _evidence(PREFERENCE, preferences)
    slow = sorted(set(preferences) - set(FAST_PREFERENCES))
    if not slow:
        return finding("ok", "The energy preference favours speed", *seen)
    told = slow != ["default"]
    message = f"{' and '.join(slow)} trades speed for power" if told else "is the firmware's default, whatever that is"
    return finding(
        "warning" if told else "note",
        f"The energy preference {message}",
        *seen,
        remedy="ask for performance",
        command=f"echo performance | sudo tee {PREFERENCE}",
    )


def check_boost(facts: Facts) -> Finding:
    """Whether turbo frequencies are allowed."""
    no_turbo, boost = facts.files.read(NO_TURBO), facts.files.read(BOOST)
    if no_turbo.is_missing and boost.is_missing:
        facts.files.require_live(NO_TURBO, BOOST)
        message = "Whether turbo is allowed cannot be seen: the firmware or the hypervisor decides"
        return finding("note", message, no_turbo.evidence, boost.evidence)
    decisive, on = (boost, True) if no_turbo.is_missing else (no_turbo, False)
    if decisive.require_switch() == on:
        return finding("ok", "Turbo frequencies are allowed", decisive.evidence)
    return finding(
        "warning",
        "Turbo is off: cores stay at their base frequency",
        decisive.evidence,
        remedy="allow it, or look in the firmware's setup if the file cannot be written",
        command=f"echo {on:d} | sudo tee {decisive.path}",
    )


def check_frequency_limit(facts: Facts) -> Finding:
    """Whether somebody set a limit below what the hardware can do."""
    limits, highest = facts.files.matching(LIMIT), facts.files.matching(HIGHEST)
    if not limits or not highest:
        facts.files.require_live(LIMIT, HIGHEST)
        return finding("ok", "No frequency limit is set", Evidence(LIMIT, "no such file"))
    tops = {_policy(reading): reading for reading in highest}
    lowered: dict[str, list[int]] = {}
    for reading in limits:
        policy, khz = _policy(reading), reading.require_number()
        most = tops.get(policy, FileText(HIGHEST.replace("*", str(policy)))).require_number()
        if khz < most:
            lowered.setdefault(f"{khz} kHz of {most} kHz", []).append(policy)
    if not lowered:
        return finding("ok", "The frequency limit is the highest that the hardware gives", limits[0].evidence)
    return finding(
        "warning",
        "The highest frequency is limited below what the hardware gives",
        *_evidence(LIMIT, lowered),
        remedy="lift the limit",
        command=f"for p in {POLICIES[:-1]}; do cat $p/cpuinfo_max_freq | sudo tee $p/scaling_max_freq; done",
    )


def check_clock_source(facts: Facts) -> Finding:
    """Whether reading the clock is cheap; workers and torch read it often."""
    current = facts.files.read(CLOCK)
    name = current.require_text()
    if not name:
        raise Undecidable("it is empty", current.evidence)
    if name not in SLOW_CLOCKS:
        return finding("ok", f"The clock source {name} is read without a system call", current.evidence)
    offered = facts.files.read(CLOCKS)
    better = next((word for word in (offered.text or "").split() if word not in SLOW_CLOCKS), "")
    why = "find in the kernel's log why tsc was dropped (unsynchronised or unstable)"
    return finding(
        "warning",
        f"The clock source is {name}: every reading of the clock goes to a slow device",
        current.evidence,
        offered.evidence,
        remedy=f"choose {better}" if better else why,
        command=f"echo {better} | sudo tee {CLOCK}" if better else "sudo dmesg | grep -i tsc",
    )


def _groups(readings: Sequence[FileText]) -> dict[str, list[int]]:
    """Text to the policies whose file holds it.

    Raises:
        CannotTell: one file could not be read or is empty.
    """
    groups: dict[str, list[int]] = {}
    for reading in readings:
        text = reading.require_text()
        if not text:
            raise Undecidable("it is empty", reading.evidence)
        groups.setdefault(text, []).append(_policy(reading))
    return groups


def _evidence(pattern: str, groups: Mapping[str, Sequence[int]]) -> list[Evidence]:
    ids = {text: format_list(policies) for text, policies in groups.items()}
    braced = {text: ids[text] if ids[text].isdecimal() else f"{{{ids[text]}}}" for text in groups}
    return [Evidence(pattern.replace("*", braced[text]), text) for text in groups]


def _policy(reading: FileText) -> int:
    return int(reading.path.split("/policy")[1].split("/")[0])
