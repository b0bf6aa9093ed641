"""sshd on the lab's hosts, and what stands on it: sshfs, a second view of a folder that is not coherent; mpirun.

Keys, configuration and port are the lab's own, and only its hosts reach it.

    shell = start_remote_shell(lab)
    shell.mount("h2", of="h1", folder=tmp_path / "data", at=tmp_path / "seen")      # h2 alone sees it there
    lab.run("h1", [*shell.mpirun(), "--map-by", "ppr:1:node", "hostname"])
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.several_hosts.lab import Lab, skip_without, wait_for

SSHD = "/usr/sbin/sshd"

OF_THE_SERVER = """\
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/client_key.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin yes
Subsystem sftp internal-sftp
"""

OF_THE_CLIENT = """\
Host *
IdentityFile {folder}/client_key
UserKnownHostsFile {folder}/known_hosts
User root
BatchMode yes
LogLevel ERROR
"""


@dataclass(frozen=True)
class RemoteShell:
    """A way from each host into the others."""

    lab: Lab
    configuration: Path

    @property
    def ssh(self) -> list[str]:
        """The words before a host's name."""
        return ["ssh", "-F", str(self.configuration)]

    def serve(self, host: str) -> None:
        """Let others into a host, also one that was off."""
        self.lab.on(
            host, [SSHD, "-D", "-e", "-f", self.configuration.with_name("sshd_config")], stderr=subprocess.DEVNULL
        )
        other = next(name for name in self.lab.names if name != host and self.lab.is_on(name))
        wait_for(f"sshd of {host}", lambda: self.lab.run(other, [*self.ssh, host, "true"]).returncode == 0)

    def mount(self, host: str, *, of: str, folder: Path, at: Path) -> None:
        """Show a host's folder at another place of another host, through sshfs; the mount ends with that host.

        Args:
            host: that is to see it.
            of: whose sshd serves it.
            folder: what it serves.
            at: an empty folder; only this host sees something there.
        """
        skip_without("sshfs")
        words: list[str | Path] = ["sshfs", "-F", self.configuration, f"{of}:{folder}", at]
        self.lab.run(host, words, check=True)

    def mpirun(self) -> list[str]:
        """Open MPI's mpirun on all hosts with all their cpus; its own options may follow."""
        skip_without("mpirun")
        settings = {
            "plm": "rsh",
            "plm_rsh_agent": " ".join(self.ssh),
            "oob_tcp_if_include": "eth0",
            "btl_tcp_if_include": "eth0",
        }
        words = ["mpirun", "--allow-run-as-root", "--host", ",".join(f"{name}:64" for name in self.lab.names)]
        return words + [word for item in settings.items() for word in ("--mca", *item)]


def start_remote_shell(lab: Lab) -> RemoteShell:
    """Make keys and let every host into every other; skips the test where openssh is not installed."""
    skip_without(SSHD, "ssh", "ssh-keygen")
    folder = lab.folder / "ssh"
    folder.mkdir()
    for name in ("host_key", "client_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    key = (folder / "host_key.pub").read_text()
    (folder / "known_hosts").write_text("".join(f"{name} {key}" for name in lab.names))
    (folder / "sshd_config").write_text(OF_THE_SERVER.format(folder=folder))
    (folder / "ssh_config").write_text(OF_THE_CLIENT.format(folder=folder))
    shell = RemoteShell(lab, folder / "ssh_config")
    for name in lab.names:
        shell.serve(name)
    return shell
