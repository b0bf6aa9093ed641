"""`ipexlaunch serve`: plan, start one server per instance, keep them, report."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import replace
from typing import Any

import click

from ipexlaunch.cli.options.checked_command import checked_command, program_arguments
from ipexlaunch.cli.options.plan_options import options_of, plan_options, plan_to_run
from ipexlaunch.cli.options.serve_options import ServeOptions, serve_options
from ipexlaunch.cli.run.kinds_of_run import ServiceRun
from ipexlaunch.cli.run.make_job import job_from_options, launch_from_options, show_commands, variables_of
from ipexlaunch.cli.run.run_launch import run_launch
from ipexlaunch.cli.terminal import tell
from ipexlaunch.documents.write_file import write_file
from ipexlaunch.errors import RequestError
from ipexlaunch.launch.job import Job, Launch
from ipexlaunch.launch.supervise.interfaces import Observer
from ipexlaunch.machine.topology import Topology
from ipexlaunch.measure.service import ServiceSummary
from ipexlaunch.plan import Plan
from ipexlaunch.plan.plan import Instance, names_in
from ipexlaunch.serve.check_ports import refuse_taken_ports
from ipexlaunch.serve.control import ControlSocket
from ipexlaunch.serve.endpoint import CONNECTIONS, LOOPBACK, Endpoint, Slot, parse_endpoint, reached_at
from ipexlaunch.serve.find_proxy import find_proxy
from ipexlaunch.serve.frontends import Frontend
from ipexlaunch.serve.haproxy_config import haproxy_config
from ipexlaunch.serve.keep_servers import ServiceKeeper
from ipexlaunch.serve.nginx_config import nginx_config
from ipexlaunch.serve.notify_systemd import SystemdNotifier, without_service_variables
from ipexlaunch.serve.presets import PRESETS, check_plan, with_preset
from ipexlaunch.serve.probes import Probe, ProbeRules, ReadyRule, read_ready_rule
from ipexlaunch.serve.run_proxy import HaproxyFrontend, NginxFrontend, make_folder, remove_folder
from ipexlaunch.serve.watch_strays import StrayObserver

SPARE_FILES = 200
"""That the proxy opens beside those of connections: its sockets, logs, pipes and probes."""

WAIT_S = 60.0
"""How long a request waits where no server is ready at all; HAProxy then answers it with 503."""


@checked_command("start", takes_program=True)
@serve_options
@plan_options
@program_arguments
def start_command(context: click.Context, /, program: str | None, arguments: tuple[str, ...], **values: Any) -> int:
    """Start one pinned server per instance, keep them, and put one endpoint in front of them.

    PROGRAM is a Python script (a module with -m, any executable with --no-python). In its ARGUMENTS and in --env {port}
    stands for the server's own, and {index} {count} {cpus} {nodes} {threads} for the instance's. A server that ends or
    does not answer any more is restarted while the others go on. SIGTERM and Ctrl-C drain and end them; SIGHUP reloads
    them where there is no terminal.

    While it runs, from elsewhere: `serve status`, `serve reload`, `serve drain N`, `serve stop`. A program of such a
    name is started by its path.
    """
    if program is None:
        raise click.MissingParameter(ctx=context, param_hint="'PROGRAM'", param_type="argument")
    words, options = with_what_is_known(
        (program, *arguments), replace(options_of(ServeOptions, context, values), command="serve")
    )
    plan, topology = plan_to_run(options)
    if options.preset is not None:
        check_plan(options.preset, PRESETS[options.preset], plan)
    job = job_from_options(words[0], words[1:], options)
    rule = read_ready_rule(options.ready_when, (*words, *options.env))
    endpoint = None if options.endpoint is None else endpoint_from_options(options.endpoint, plan, job, rule, options)
    if options.write_proxy is not None and endpoint is not None:
        text = haproxy_config(endpoint) if options.proxy == "haproxy" else nginx_config(endpoint, user=_nginx_user())
        write_file(options.write_proxy, text)
        tell(f"wrote {options.write_proxy}, for {options.proxy}; nothing was started")
        return 0
    launch = launch_from_options(plan, job, options)
    if options.dry_run:
        return show_commands(launch)
    return _serve(launch, topology, options, rule, endpoint)


def with_what_is_known(words: tuple[str, ...], options: ServeOptions) -> tuple[tuple[str, ...], ServeOptions]:
    """The program's words and the options, with what a known server is given (--preset).

    Args:
        words: the program and its arguments.
        options: of the command.
    """
    if options.preset is None:
        return words, options
    use = with_preset(PRESETS[options.preset], words, variables_of(options.env), os.environ)
    if use.note:
        tell(f"--preset {options.preset}: {use.note}")
    own = tuple(f"{name}={value}" for name, value in use.variables.items())
    ready_when = options.ready_when or use.ready_when
    return use.arguments, replace(options, no_python=True, env=(*own, *options.env), ready_when=ready_when)


def endpoint_from_options(text: str, plan: Plan, job: Job, rule: ReadyRule, options: ServeOptions) -> Endpoint:
    """What the proxy is to do.

    Args:
        text: where it listens.
        plan: the instances.
        job: what each serves.
        rule: what says that a server is ready.
        options: of the command.

    Raises:
        RequestError: the servers have no ports of their own, or the endpoint's is one of theirs.
    """
    address, port = parse_endpoint(text)
    words = (job.program, *job.arguments, *job.environment.values())
    if not any("port" in names_in(word) for word in words):
        hint = "put {port} where the program takes its port, such as --port {port}"
        raise RequestError(f"put {text} in front of the servers", "they are given no ports of their own", hint)
    ports = [job.first_port + each.index for each in plan.chosen]
    probes = [rule.probe_of(each, len(plan.instances), job.first_port) for each in plan.chosen if rule.url]
    is_theirs = [probe.port for probe in probes] == ports
    hosts = [reached_at(probe.host) for probe in probes] if is_theirs else [LOOPBACK] * len(ports)
    slots = tuple(
        Slot(index=each.index, port=port, host=host) for each, port, host in zip(plan.chosen, ports, hosts, strict=True)
    )
    path = probes[0].target if is_theirs and probes[0].kind == "http" else None
    made = Endpoint(
        address=address,
        port=port,
        slots=slots,
        balance=options.balance,
        health_path=path,
        affinity_header=options.affinity_header,
        threads=max(1, options.proxy_cores),
        drain_s=options.drain_timeout,
        probe_interval_s=options.probe_interval,
        probe_timeout_s=options.probe_timeout,
        probe_failures=options.probe_failures,
        connections=_connections(),
        admin_socket=None,
        wait_script=None,
        wait_s=WAIT_S,
    )
    made.check()
    return made


def _serve(
    launch: Launch, topology: Topology, options: ServeOptions, rule: ReadyRule, endpoint: Endpoint | None
) -> int:
    instances = [worker.instance for worker in launch.workers]
    count = len(launch.plan.instances)
    probes: list[Probe | None] = [
        rule.probe_of(each, count, launch.job.first_port) if rule.url else None for each in instances
    ]
    places = {(each.host, each.port): f"instance {i.index}" for i, each in zip(instances, probes, strict=True) if each}
    if endpoint is not None:
        places |= {(slot.host, slot.port): f"instance {slot.index}" for slot in endpoint.slots}
        places[endpoint.address, endpoint.port] = "the endpoint"
    refuse_taken_ports(places)
    folder = make_folder(os.environ, os.getuid()) if endpoint is not None else ""
    try:
        frontend = None if endpoint is None else _frontend(endpoint, launch.plan, topology, options, folder)
        return _keep(launch, topology, options, rule, probes, frontend, folder)
    finally:
        if folder:
            remove_folder(folder)


def _keep(
    launch: Launch,
    topology: Topology,
    options: ServeOptions,
    rule: ReadyRule,
    probes: list[Probe | None],
    frontend: Frontend | None,
    folder: str,
) -> int:
    notifier = SystemdNotifier(os.environ, len(launch.workers), has_endpoint=frontend is not None, tell=tell)
    rules = ProbeRules(
        interval_s=options.probe_interval, timeout_s=options.probe_timeout, failures=options.probe_failures
    )
    keeper = ServiceKeeper(
        [worker.instance.index for worker in launch.workers],
        probes,
        rules,
        drain_timeout_s=options.drain_timeout,
        frontend=frontend,
        duration_s=options.duration,
        clock=time.monotonic,
        has_terminal=_has_terminal(),
        notifier=notifier,
    )
    keeper.leftovers += [folder] if folder else []
    strays = StrayObserver(options.local_pages, tell)

    def watchers(status_path: str) -> tuple[Observer, ...]:
        if not status_path:
            return notifier, strays
        control = ControlSocket(status_path, keeper)
        keeper.leftovers += [status_path, control.path]
        return control, notifier, strays

    def conclude() -> tuple[tuple[str, ...], ServiceSummary]:
        return _reasons(keeper), _summary(keeper, frontend, strays)

    serving = ServiceRun(
        keeper=keeper,
        ready_line=rule.line,
        environment=without_service_variables(os.environ),
        watchers=watchers,
        conclude=conclude,
    )
    return run_launch(launch, topology, options, serving=serving).exit_code


def _reasons(keeper: ServiceKeeper) -> tuple[str, ...]:
    """Why the service was none; somebody who ends it while servers load knows that they do."""
    reasons = [*filter(None, [keeper.proxy.problem])]
    if keeper.state.served_long_enough:
        reasons += [f"instance {slot.index} was never ready" for slot in keeper.state.slots if not slot.was_up]
        if keeper.proxy.ended_so and not keeper.proxy.runs and not reasons:
            reasons.append(keeper.proxy.ended_so)
    return tuple(reasons)


def _summary(keeper: ServiceKeeper, frontend: Frontend | None, strays: StrayObserver) -> ServiceSummary:
    totals = keeper.requests.totals if frontend is not None and frontend.has_figures else None
    return ServiceSummary(
        endpoint=frontend.where if frontend is not None else "",
        restarts={slot.index: slot.restarts for slot in keeper.state.slots if slot.restarts},
        refused=None if totals is None else totals.refused,
        retries=None if totals is None else totals.retries,
        strays=dict(strays.found),
        reloads=keeper.state.reloads,
    )


def _frontend(endpoint: Endpoint, plan: Plan, topology: Topology, options: ServeOptions, folder: str) -> Frontend:
    cpus, whose = proxy_cpus(plan, topology, options.proxy_cores)
    tell(f"the proxy {options.proxy} runs on {whose}")
    instance = Instance(index=0, cpus=cpus, nodes=frozenset(), memory="none", threads=endpoint.threads)
    proxy = find_proxy(options.proxy)
    if options.proxy == "haproxy":
        return HaproxyFrontend(proxy, endpoint, folder, instance)
    return NginxFrontend(proxy, endpoint, folder, instance, _nginx_user())


def _connections() -> int:
    """As many as the proxy may have files open for: it refuses to start where it may not open what it is promised."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONNECTIONS if hard == resource.RLIM_INFINITY else min(CONNECTIONS, (hard - SPARE_FILES) // 2)


def proxy_cpus(plan: Plan, topology: Topology, cores: int) -> tuple[frozenset[int], str]:
    """The cpus of the proxy, and which they are in words.

    Args:
        plan: whose idle cpus it may have.
        topology: the machine.
        cores: as many of them; 0 for all idle cpus, and where there are none for all that are allowed.

    Raises:
        RequestError: fewer cores are idle.
    """
    idle: dict[int, set[int]] = {}
    for cpu in sorted(plan.idle_cpus):
        idle.setdefault(topology.by_cpu[cpu].core, set()).add(cpu)
    if not cores:
        if idle:
            return frozenset(plan.idle_cpus), "the idle cpus"
        return frozenset(topology.allowed_cpus), "all cpus, those of the servers too (--reserve-cores leaves some idle)"
    if len(idle) < cores:
        raise RequestError(
            f"give the proxy {cores} core{'s' * (cores != 1)}",
            f"the plan leaves {len(idle) or 'none'} idle",
            "leave some with --reserve-cores, or ask for fewer cores per instance",
        )
    chosen = frozenset[int]().union(*list(idle.values())[:cores])
    return chosen, f"{cores} idle core{'s' * (cores != 1)}"


def _nginx_user() -> str | None:
    """Root's nginx would hand its workers to a user who may not enter the folder of its files."""
    return None if os.getuid() else "root"


def _has_terminal() -> bool:
    """Whether this process has a terminal that can be closed: SIGHUP then says that it was."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
