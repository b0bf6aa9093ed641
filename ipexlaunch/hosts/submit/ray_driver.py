"""The driver of a job in shards under Ray: an actor on each host, which is given one shard after another.

    python -m ipexlaunch.hosts.submit.ray_driver DIRECTIVE      # a JSON object, see ray_directive

A program of its own, because it is what connects to Ray. The driver asks each actor every two seconds; one that has
not answered for SILENT_S is lost, and its shard is the next that is given. Ray's own means are slower or do harm: the
result of a task on a host that lost its power is waited for 420 s (gRPC's keepalives), the cluster finds such a host
dead after 65 s, and with keepalives of 10 s tasks that last half a minute are killed ("too_many_pings"). All measured
with Ray 2.60. Source: Ray documentation, "Placement Groups", "Actors", "Fault tolerance".
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import ray
from ray.util.placement_group import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from ipexlaunch.errors import TRY_AGAIN
from ipexlaunch.hosts.submit.ray_directive import Directive, read_directive
from ipexlaunch.hosts.submit.shard_queue import ShardQueue

ASKED_EVERY_S = 2.0

SILENT_S = 20.0
"""An actor has nothing else to do than to answer."""

ALONE_S = 60.0
"""So long without any host, and a message says so."""


class Host:
    """Tries shards on a host, one at a time."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    def begin(self, words: list[str], log: str) -> str:
        """Begin a shard, with its talk in a file that is appended to; the host's name."""
        # Ray sets it to the cpus of the actor; ours is for the workers of each instance.
        variables = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        bound = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []  # what ends us, ends it
        with open(log, "ab", buffering=0) as file:
            self.process = subprocess.Popen(
                [*bound, *words], stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=variables
            )
        return os.uname().nodename

    def code(self) -> int | None:
        """The exit code of the shard; None while there is none."""
        return None if self.process is None else self.process.poll()


class Slot:
    """One host's share of the work: an actor, what it was asked, and its shard."""

    def __init__(self, todo: Directive, actor: Any, place: PlacementGroupSchedulingStrategy) -> None:
        self._todo, self._make = todo, actor.options(scheduling_strategy=place)
        self._host, self.is_unusable = "", False
        self._shard: int | None = None
        self._renew()

    def _renew(self) -> None:
        """Have another actor, where Ray has a host for it; its first answer says that it is there."""
        self._actor = self._make.remote()
        self.is_there = False
        self._ask()

    def _ask(self) -> None:
        self._question, self._asked, self._begins = self._actor.code.remote(), time.monotonic(), False

    def look(self, queue: ShardQueue) -> list[str]:
        """Hear what there is to hear, and give the next shard where there is one; what is to be said of it."""
        if self.is_unusable:
            return []
        waited_s = time.monotonic() - self._asked
        if not ray.wait([self._question], timeout=0)[0]:
            return self._lose(queue, "is silent") if self.is_there and waited_s > SILENT_S else []
        try:
            answer = ray.get(self._question)
        except ray.exceptions.RayTaskError as error:
            self.is_unusable = True
            self._return(queue)
            return [f"a host cannot begin shards: {str(error.cause).partition(chr(10))[0]}; it is given none"]
        except ray.exceptions.RayError:
            return self._lose(queue, "was lost")
        self.is_there = True
        said = []
        if self._begins:
            self._host = answer
        elif self._shard is not None and answer is not None:
            said.append(self._end(queue, self._shard, answer))
        if self._shard is None and (index := queue.take()) is not None:
            words = [*self._todo.words, "--index", str(index)]
            log = os.path.join(self._todo.directory, f"ray-{index:05d}.txt")
            self._question = self._actor.begin.remote(words, log)
            self._shard, self._asked, self._begins = index, time.monotonic(), True
        elif self._begins or waited_s >= ASKED_EVERY_S:
            self._ask()
        return said

    def _end(self, queue: ShardQueue, index: int, code: int) -> str:
        self._shard = None
        if code == TRY_AGAIN or code < 0:
            how = f"ended with {code} on {self._host}"
            return (
                f"shard {index} {how}, is tried again" if queue.try_again(index) else f"shard {index} {how} too often"
            )
        queue.finish(index, is_done=not code)
        how = "is done" if not code else f"failed with exit code {code}"
        return f"shard {index} {how} on {self._host} ({queue.count})"

    def _return(self, queue: ShardQueue) -> int | None:
        index, self._shard = self._shard, None
        if index is not None:
            queue.try_again(index)
        return index

    def _lose(self, queue: ShardQueue, what: str) -> list[str]:
        index = self._return(queue)
        self._renew()
        of = f"{self._host} {what}; shard {index} is the next that is given" if index is not None else ""
        return [of] if of else []


def main(text: str) -> int:
    """Do all shards, then merge them; the exit code."""
    todo = read_directive(text)
    try:
        ray.init(address=todo.address or "auto", logging_level="error", log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        say(f"cannot submit to ray: no cluster answers: {reason}; give --engine-option address=HOST:PORT")
        return 2
    there = [node["Resources"]["CPU"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    hosts = min(todo.hosts or len(there), len(there), len(todo.indices))
    cpus = todo.cpus or int(min(there))
    say(f"{len(todo.indices)} shards on {hosts} hosts, {cpus} cpus of each")
    group = placement_group([{"CPU": cpus}] * hosts, strategy="STRICT_SPREAD")
    actor = ray.remote(num_cpus=cpus)(Host)
    places = [PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=bundle) for bundle in range(hosts)]
    failed = do_all(ShardQueue(todo.indices, todo.tries), [Slot(todo, actor, place) for place in places])
    if failed:
        say(f"not done: {', '.join(map(str, failed))}; see ray-K.txt in {todo.directory}, then submit again")
    return subprocess.run(todo.merge, check=False).returncode


def do_all(queue: ShardQueue, slots: Sequence[Slot]) -> list[int]:
    """Go on until every shard is over; those that failed."""
    alone_since: float | None = None
    while not queue.is_over:
        for slot in slots:
            for line in slot.look(queue):
                say(line)
        usable = [slot for slot in slots if not slot.is_unusable]
        if not usable:
            queue.give_up()
        if any(slot.is_there for slot in usable):
            alone_since = None
        elif alone_since is None:
            alone_since = time.monotonic()
        elif alone_since and time.monotonic() - alone_since > ALONE_S:
            say(f"no host has the cpus free that a shard takes, or none is left; waiting ({queue.count} are over)")
            alone_since = 0.0
        time.sleep(ASKED_EVERY_S / 8)
    return queue.failed


def say(text: str) -> None:
    """A line on standard error."""
    print(f"ipexlaunch: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
