"""systemd units: a target, a slice that holds the plan's cpus, and one service for each instance.

Source: systemd.exec(5) for NUMAPolicy, NUMAMask and CPUAffinity; systemd.resource-control(5) for AllowedCPUs.

Or one service that is `ipexlaunch serve` itself, which binds, proves and restarts the servers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ipexlaunch.errors import RequestError
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.wording import counted
from ipexlaunch.plan.export_scripts import ExportFile, Workload, headline, text_of
from ipexlaunch.plan.own_launch import SERVE, OwnLaunch
from ipexlaunch.plan.plan import Instance, Plan

NAME = "ipexlaunch"

_POLICIES = {"bind": "bind", "preferred": "preferred", "interleave": "interleave", "local": "local"}
_NEAREST = {"preferred-many": "preferred", "weighted-interleave": "interleave"}
"""systemd 252 has no word for these."""


def systemd_units(plan: Plan, work: Workload) -> tuple[ExportFile, ...]:
    """Units to copy into /etc/systemd/system; `systemctl start ipexlaunch.target` starts every instance.

    Raises:
        RequestError: no program, or one without its whole path.
    """
    program = work.program
    if not program or not program[0].startswith("/"):
        given = f"the program is {program[0]!r}" if program else "no program is given"
        hint = "write it behind the options: -- /usr/bin/python3 /srv/script.py"
        raise RequestError("export systemd units", f"{given}, and a unit needs its whole path", hint)
    services = [f"{NAME}-{instance.index}.service" for instance in plan.chosen]
    cpus = frozenset().union(*(instance.cpus for instance in plan.chosen))
    nodes = frozenset().union(*(instance.nodes for instance in plan.chosen))
    target = [f"# {headline(plan)}", "[Unit]", f"Description=Instances of {_specifiers(program[0])}"]
    target += [f"Wants={service}" for service in services]
    limits = ["[Slice]", f"AllowedCPUs={_spaced(cpus)}"]
    limits += [f"AllowedMemoryNodes={_spaced(nodes)}"] if nodes else []
    return (
        ExportFile(f"{NAME}.target", text_of(target)),
        ExportFile(f"{NAME}.slice", text_of(["[Unit]", "Description=Cpus and memory of the instances", "", *limits])),
        *(ExportFile(s, text_of(_service(plan, i, work))) for s, i in zip(services, plan.chosen, strict=True)),
    )


def _service(plan: Plan, instance: Instance, work: Workload) -> list[str]:
    lines = [
        "[Unit]",
        f"Description=Instance {instance.index} of {len(plan.instances)}",
        f"PartOf={NAME}.target",
        "",
        "[Service]",
        "Type=exec",
        f"Slice={NAME}.slice",
        f"AllowedCPUs={_spaced(instance.cpus)}",
        f"CPUAffinity={_spaced(instance.cpus)}",
    ]
    if instance.nodes and instance.memory != "none":
        if instance.memory in _NEAREST:
            lines.append(f"# the plan says {instance.memory}, which systemd has no word for")
        policy = _POLICIES.get(instance.memory) or _NEAREST[instance.memory]
        lines.append(f"NUMAPolicy={policy}")
        if policy != "local":
            nodes = {min(instance.nodes)} if policy == "preferred" else instance.nodes
            lines.append(f"NUMAMask={_spaced(nodes)}")
        if instance.memory == "bind":
            lines.append(f"AllowedMemoryNodes={_spaced(instance.nodes)}")
    lines += [f'Environment="{_in_quotes(assignment)}"' for assignment in work.assignments(plan, instance)]
    return [*lines, "ExecStart=" + " ".join(_escaped(word) for word in work.words(plan, instance))]


def _spaced(ids: Iterable[int]) -> str:
    return format_list(ids).replace(",", " ")


def _in_quotes(text: str) -> str:
    """A text between double quotes: backslashes, quotes and specifiers stand for themselves."""
    return _specifiers(text.replace("\\", "\\\\").replace('"', '\\"')).replace("\n", "\\n")


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")


def _escaped(word: str) -> str:
    """One word of ExecStart: specifiers, variables and quotes lose their meaning (systemd.service(5))."""
    text = _in_quotes(word).replace("$", "$$")
    return text if text and not set(text) & set(" \t;'\"\\") else f'"{text}"'


WATCHDOG_S = 60
"""The launcher says twice in this time that it is alive; one that hangs is ended and started again."""

DRAIN_S = 30
"""What --drain-timeout of `serve` is where it is not given."""

AFTER_DRAIN_S = 30
"""Beside that: servers get SIGTERM, and what is left SIGKILL."""

_SERVICE = """\
# {headline}
[Unit]
Description=Servers in {slots}, bound and kept by ipexlaunch
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
NotifyAccess=main
WorkingDirectory=%S/{name}
Environment=XDG_RUNTIME_DIR=%t/{name}
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
WatchdogSec={watchdog}
# A model loads as long as it loads; a server that is never ready is restarted by ipexlaunch.
TimeoutStartSec=infinity
# SIGTERM goes to ipexlaunch alone, which drains and ends the servers.
KillMode=mixed
TimeoutStopSec={stop}
Restart=on-failure
RestartSec=5
# A bad option or file does not become better by itself.
RestartPreventExitStatus=2
# One server that runs out of memory is restarted in its slot, the others go on.
OOMPolicy=continue
LimitNOFILE=65536
# For --confine.
Delegate=cpuset

# Whoever serves needs to read the models and the programs; User=NAME instead gives them an owner.
DynamicUser=yes
StateDirectory={name}
RuntimeDirectory={name}
RuntimeDirectoryMode=0700
# What is not here would hinder: SystemCallFilter= and CPUAffinity= the binding, ProtectControlGroups= --confine,
# PrivateDevices= accelerators, MemoryDenyWriteExecute= compilers.
UMask=0077
NoNewPrivileges=yes
# A port below 1024 needs CAP_NET_BIND_SERVICE here and in AmbientCapabilities=.
CapabilityBoundingSet=
ProtectHome=read-only
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectClock=yes
LockPersonality=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
"""


def service_unit(plan: Plan, launch: OwnLaunch) -> tuple[ExportFile, ...]:
    """One service: `systemctl start ipexlaunch-serve` starts `ipexlaunch serve` with these words.

    Args:
        plan: says how many servers there are.
        launch: its command is `serve`.

    Raises:
        RequestError: no program.

    Source: systemd.service(5), systemd.exec(5), systemd.kill(5), sd_notify(3) of systemd 252 to 257.
    """
    if not launch.program_words:
        what = "nothing is said of what to serve"
        raise RequestError(
            "export a systemd unit of serve", what, "write it behind: -- serve /usr/bin/llama-server ..."
        )
    name = f"{NAME}-{SERVE}"
    words = (*launch.launcher, SERVE, *launch.option_words, *launch.program_words)
    text = _SERVICE.format(
        headline=headline(plan),
        slots=counted(len(plan.chosen), "slot"),
        name=name,
        command=" ".join(_escaped(word) for word in words),
        watchdog=WATCHDOG_S,
        stop=_drain_s(launch.program_words) + AFTER_DRAIN_S,
    )
    return (ExportFile(f"{name}.service", text),)


def _drain_s(words: Sequence[str]) -> int:
    """Whole seconds of --drain-timeout in a command line, or its default."""
    for place, word in enumerate(words):
        option, is_joined, value = word.partition("=")
        if option == "--drain-timeout":
            value = value if is_joined else "".join(words[place + 1 : place + 2])
            if value.replace(".", "", 1).isdecimal():
                return int(float(value)) + 1
    return DRAIN_S
