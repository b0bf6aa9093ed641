"""The errors that ipexlaunch raises on purpose, built from values, each with its exit code.

Every message says what was wanted, what is there, and what would work. Nothing below the command line exits;
the command line turns these into one line on stderr and the code.
"""

from __future__ import annotations

TRY_AGAIN = 75
"""Exit code of what may succeed later, as it stands: EX_TEMPFAIL of sysexits.h."""


class IpexLaunchError(Exception):
    """Base of the errors a user can act on; anything else that escapes is a bug (exit code 3)."""

    exit_code = 2

    def __init__(self, wanted: str, available: str, hint: str = "") -> None:
        """Keep the three parts apart.

        Args:
            wanted: what was asked for, as a phrase that follows "cannot", e.g. "fit 6 instances of 10 cores".
            available: what is there, with its numbers.
            hint: what would work, as a sentence without its full stop; empty where nothing can be advised.
        """
        super().__init__(wanted, available, hint)
        self.wanted = wanted
        self.available = available
        self.hint = hint

    def __str__(self) -> str:
        text = f"cannot {self.wanted}: {self.available}"
        return f"{text}; {self.hint}" if self.hint else text


class UsageError(IpexLaunchError):
    """Words of the command line that mean nothing together; the way to --help is said with it."""

    def __init__(self, text: str) -> None:
        """Keep the whole message.

        Args:
            text: what is wrong, and what would work.
        """
        super().__init__("", text)

    def __str__(self) -> str:
        return self.available


class RequestError(IpexLaunchError):
    """A request that contradicts itself or cannot be read: a malformed list, two options that exclude each other."""


class PlanError(IpexLaunchError):
    """The machine cannot give what the request asks for, or a plan does not fit the machine."""


class TopologyError(IpexLaunchError):
    """A file of the machine's description is missing or malformed where it must exist."""

    def __init__(self, path: str, problem: str, hint: str = "") -> None:
        """Name the file.

        Args:
            path: the file, as the user can open it.
            problem: what is wrong with it, with what stands there.
            hint: what would work.
        """
        super().__init__(f"read the topology from {path}", problem, hint)
        self.path = path
        self.problem = problem


class DocumentError(IpexLaunchError):
    """A topology, plan or report file that does not follow its format."""

    def __init__(self, source: str, where: str, problem: str, hint: str = "") -> None:
        """Name the place.

        Args:
            source: the file's name.
            where: the place in it, e.g. "line 7, instances[2].cpus"; empty for the whole file.
            problem: what is wrong there, with what stands there.
            hint: what would work.
        """
        place = f"{source}, {where}" if where else source
        super().__init__(f"read {place}", problem, hint)
        self.source = source
        self.where = where
        self.problem = problem
        self.problems: tuple[str, ...] = ()
        """Every problem of the document, where more than one was found."""


class BadRowError(DocumentError):
    """A row of an input that gives no item; as a dead letter it would not end the job."""


class BindError(IpexLaunchError):
    """The kernel did not give the binding that the plan asks for."""


class HeldError(IpexLaunchError):
    """What is asked for belongs to another launcher that lives; try again later."""

    exit_code = TRY_AGAIN


class LaunchError(IpexLaunchError):
    """The program cannot be started: it is missing, not executable, or its interpreter is."""


class ProxyError(IpexLaunchError):
    """The proxy in front of the servers cannot be asked, or does not do what it is told."""


class EndedBySignal(BaseException):
    """Somebody asked the launcher to end while it tried or measured something; its workers are gone."""

    def __init__(self, exit_code: int) -> None:
        """Keep what follows for the launcher.

        Args:
            exit_code: that of a run which the same signal ends.
        """
        super().__init__(exit_code)
        self.exit_code = exit_code
