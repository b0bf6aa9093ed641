"""--across-hosts: this host as one of several that begin together, up to the one total."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from ipexlaunch import __version__
from ipexlaunch.cli.options import AcrossHostsOptions, LaunchOptions
from ipexlaunch.cli.options.plan_options import this_host
from ipexlaunch.cli.terminal import show_on_stderr, tell
from ipexlaunch.doctor.job_engine import HOSTS, RANK
from ipexlaunch.documents.codec import from_plain, to_plain
from ipexlaunch.documents.secret_values import mask_words
from ipexlaunch.documents.visible_text import format_number, visible_values
from ipexlaunch.errors import HeldError, IpexLaunchError, LaunchError, RequestError
from ipexlaunch.hosts import find_each_other as places
from ipexlaunch.hosts.member import WANTED, Member, member_of
from ipexlaunch.hosts.messages import TOKEN_BYTES, Message, Rendezvous
from ipexlaunch.hosts.talk.background import Part, Patience, Talk
from ipexlaunch.hosts.talk.first_host import FirstHost
from ipexlaunch.hosts.talk.member_host import MemberHost
from ipexlaunch.launch.job import Launch
from ipexlaunch.launch.lifecycle import signal_code
from ipexlaunch.launch.wait_for_disk import DiskPatience, let_go
from ipexlaunch.machine.topology import Topology
from ipexlaunch.measure.across_hosts import Group, HostPart, group_of, part_of, with_bounds, write_group
from ipexlaunch.measure.report import EXIT_INVALID, Report
from ipexlaunch.report.kept_runs.run_directory import GROUP, PRIVATE, RENDEZVOUS
from ipexlaunch.report.tables.group_table import group_table

TOKEN = "IPEXLAUNCH_RENDEZVOUS_TOKEN"
"""The variable that has the secret of all hosts with --rendezvous."""

SHORTEST_TOKEN = 16

SILENT_S = 8.0
"""A host that is not heard of for so long is lost."""

NOTICE_S = 3.0
"""Who looks for the first host for so long says so."""

FAREWELL_S = 4.0
"""How long a host that cannot start tries to tell the others."""


class AcrossHosts:
    """The other hosts, for a launch."""

    def __init__(self, member: Member, talk: Talk, directory: str | None, launch: Launch) -> None:
        """Begin with what is known before the start.

        Args:
            member: this host.
            talk: the line to the others.
            directory: of the group; None where nothing is kept.
            launch: what is started here.
        """
        self.talk = talk
        self.variables = {RANK: str(member.rank), HOSTS: str(member.size)}
        """For the workers."""
        self._member = member
        self._directory = directory
        self._launch = launch
        self._verdict: Message | None = None

    def leave(self) -> None:
        """Say how it went for all, as the first host, now that nothing is left to be done here.

        The others end then, each with its own exit code, and an engine may send TERM to whoever has not ended yet: that
        changes nothing any more.
        """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if self._verdict is not None:
            self.talk.verdict(self._verdict)

    def conclude(
        self, report: Report, troubles: Sequence[Exception], came: Sequence[int], disk: DiskPatience
    ) -> Report:
        """Tell the others how it went here, wait for all, show it; the report, INVALID where they are.

        Args:
            report: of this host.
            troubles: why it could not be kept.
            came: signals that ask for the end, as they come.
            disk: how long the disk of the group's directory may hang.

        Raises:
            IpexLaunchError: the group's document cannot be written.
        """
        member = self._member
        part = part_of(report, member.rank, member.name)
        if troubles:
            part = replace(part, valid=False, reasons=(*part.reasons, *map(str, troubles)), exit_code=2)
        outcome = self.talk.result(to_plain(part), lambda: bool(came))
        if outcome is None:
            self.talk.stopping("it was interrupted while it waited for the others")
            why = f"{member.label} was interrupted while it waited for the other hosts"
            outcome = {"valid": False, "reasons": [why], "broken": [why], "code": signal_code(came[0])}
        if member.is_first:
            return self._conclude_all(report, part, outcome, disk)
        verdict = _with_reasons(report, part, [str(each) for each in outcome.get("reasons", [])], outcome)
        rate = f"{format_number(part.rate)} {report.throughput.unit}, " if part.rate is not None else ""
        judged = "VALID; the first host has the total" if verdict.valid else f"INVALID: {'; '.join(verdict.reasons)}"
        tell(f"{member.label}: {rate}{judged}")
        return verdict

    def _conclude_all(self, report: Report, own: HostPart, outcome: Message, disk: DiskPatience) -> Report:
        group = self._group(own, outcome)
        trouble: IpexLaunchError | None = None
        if self._directory is not None:
            path = os.path.join(self._directory, GROUP)
            try:
                disk.write(path, write_group(group), f"write {path}", mode=PRIVATE)
            except IpexLaunchError as error:
                trouble = error
        self._verdict = {"valid": group.valid, "reasons": list(group.reasons[:3]), "code": EXIT_INVALID}
        show_on_stderr(lambda width, color: group_table(group, width=width, color=color))
        if trouble is not None:
            raise trouble
        return _with_reasons(report, own, group.reasons, outcome)

    def _group(self, own: HostPart, outcome: Message) -> Group:
        """All that is known of all hosts."""
        parts = {own.rank: own}
        broken = [str(each) for each in outcome["broken"]]
        for rank, message in outcome.get("parts", {}).items():
            try:
                part = own if int(rank) == own.rank else from_plain(message["result"], HostPart)
            except ValueError as error:
                broken.append(f"rank {rank} said what is not understood: {error}")
                continue
            parts[int(rank)] = with_bounds(replace(visible_values(part), rank=int(rank)), message["bounds"])
        job = self._launch.job
        return replace(
            group_of(self._member.size, tuple(parts.values()), broken),
            job=self._member.job,
            program=tuple(mask_words([job.program, *job.arguments])),
            written=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            ipexlaunch=__version__,
        )


def _with_reasons(report: Report, own: HostPart, reasons: Sequence[str], outcome: Message) -> Report:
    """The report, INVALID where the group is."""
    news = [why for why in reasons if not {why, why.removeprefix(f"{own.label}: ")} & set(own.reasons)]
    if not news:
        return report
    code = outcome.get("code", EXIT_INVALID)
    return replace(
        report,
        valid=False,
        reasons=(*report.reasons, *news),
        exit_code=report.exit_code or (code if isinstance(code, int) and 0 < code < 256 else EXIT_INVALID),
    )


@contextlib.contextmanager
def joined(
    launch: Launch, topology: Topology, options: LaunchOptions, asked: AcrossHostsOptions
) -> Iterator[tuple[AcrossHosts, LaunchOptions]]:
    """Within, this host is one of several; gives it, and the options for its own part.

    Args:
        launch: what is about to start here.
        topology: the machine.
        options: of the command.
        asked: the same, what they say of the group.

    Raises:
        RequestError: nobody says which host this is, or it was started such that cpus or hosts stand idle.
        HeldError: another start has the directory.
        LaunchError: the directory holds a run, or cannot be written, or no port is free.
    """
    for name, value in ((RANK, asked.host_rank), (HOSTS, asked.host_count)):
        if value is not None:
            os.environ[name] = str(value)
    token = os.environ.pop(TOKEN, "")
    member = member_of(this_host(topology), os.environ, asked.job_id)
    directory = None if options.run_dir is None else os.path.abspath(options.run_dir)
    patience = Patience(join_s=asked.join_timeout, silent_s=SILENT_S)
    if asked.rendezvous is not None:
        if not member.job:
            raise RequestError(WANTED, "there is no job id", "give all hosts of one start the same --job-id")
        if len(token) < SHORTEST_TOKEN:
            there = f"{TOKEN} has no token of {SHORTEST_TOKEN} characters at least"
            raise RequestError(WANTED, there, "export the same on all hosts: what `openssl rand -hex 32` prints once")
    with contextlib.ExitStack() as left:
        if directory is not None and member.is_first:
            left.callback(let_go, places.claim_directory(directory, member).release)
        elif directory is not None:
            places.check_directory_of_member(directory, member)
        talk = Talk((_first if member.is_first else _other)(member, directory, token, asked, patience))
        left.callback(talk.close)
        if not talk.wait_until_in(NOTICE_S) and talk.over is None:
            tell(f"{member.label} waits for the first host")
            talk.wait_until_in()
        if (refused := talk.over) is not None:
            kind = HeldError if refused["code"] == HeldError.exit_code else LaunchError
            raise kind(WANTED, str(refused["reasons"][0]))
        try:
            run_dir = None if directory is None else left.enter_context(places.host_directory(directory, member))
            across = AcrossHosts(member, talk, directory, launch)
            left.callback(across.leave)
            yield across, replace(options, run_dir=run_dir)
        except IpexLaunchError as error:
            if talk.over is None:
                _say_farewell(talk, member, str(error), error.exit_code)
            raise


def _say_farewell(talk: Talk, member: Member, why: str, code: int) -> None:
    """Let the others know, within reason, that nothing comes from here."""
    until = time.monotonic() + FAREWELL_S
    talk.stopping(why)
    part = HostPart(rank=member.rank, name=member.name, reasons=(why,), exit_code=code)
    outcome = talk.result(to_plain(part), lambda: time.monotonic() >= until)
    if outcome is not None and member.is_first:
        talk.verdict({"valid": False, "reasons": [why], "code": EXIT_INVALID})


def _first(
    member: Member, directory: str | None, token: str, asked: AcrossHostsOptions, patience: Patience
) -> Callable[[Talk], Part]:
    ports = asked.rendezvous_ports or (0,)
    if asked.rendezvous is not None:
        ports = (asked.rendezvous[1],)
    listener = places.open_listener(ports)
    if asked.rendezvous is None and directory is not None:
        token = secrets.token_hex(TOKEN_BYTES)
        meeting = Rendezvous(
            job=member.job, hosts=member.size, addresses=places.addresses_here(), port=listener.getsockname()[1],
            token=token,
        )  # fmt: skip
        places.leave_rendezvous(directory, meeting)
    return lambda talk: FirstHost(talk, member, token, listener, patience, tell)


def _other(
    member: Member, directory: str | None, token: str, asked: AcrossHostsOptions, patience: Patience
) -> Callable[[Talk], Part]:
    if asked.rendezvous is not None:
        host, port = asked.rendezvous
        return lambda talk: MemberHost(
            talk, member, lambda: places.look_up(host, port, token), f"address of {host}", patience
        )
    shared = directory or ""
    nowhere = f"{RENDEZVOUS} of this start appeared in {shared}, which must lie on a file system that all hosts share"
    return lambda talk: MemberHost(talk, member, lambda: places.look_in(shared, member), nowhere, patience)
