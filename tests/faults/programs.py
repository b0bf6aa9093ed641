"""The programs that the runs under fault execute: short, and each with a child of its own."""

WORKER = """
import signal, subprocess, sys, time
from ipexlaunch import worker
child = subprocess.Popen(["sleep", "300"])
print("loaded", flush=True)
worker.ready()
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    time.sleep(0.01)
    worker.count()
    print("x" * 200, flush=True)
    if child.poll() is not None:
        sys.exit(7)
child.kill()
child.wait()
worker.finish()
"""
"""Counts for some seconds; ends with 7 when its child dies."""

SPLIT = """
import sys, time
from ipexlaunch import worker
time.sleep(float(sys.argv[1]) / 3)
worker.split()
time.sleep(float(sys.argv[1]) / 3)
worker.ready()
end = time.monotonic() + float(sys.argv[1]) / 3
while time.monotonic() < end:
    time.sleep(0.01)
    worker.count()
worker.finish()
"""
"""What it shares with its like takes a third of its time."""

LOADING = """
import signal, subprocess, time
from ipexlaunch import worker
child = subprocess.Popen(["sleep", "300"])
signal.signal(signal.SIGINT, signal.SIG_IGN)
time.sleep(300)
worker.split()
"""
"""Never comes to its split."""

STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(float(sys.argv[1]) + 300)
"""
"""Ignores SIGTERM and does not end by itself."""

DAEMONS = """
import os, sys, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.chdir("/")
            time.sleep(300)
        os._exit(0)
time.sleep(float(sys.argv[1]) / 4)
"""
"""Leaves three daemons behind, forked twice, in sessions of their own."""

MANY = """
import os, sys
sys.path.insert(0, os.environ["ROOT"])
from ipexlaunch.launch.bind import adopt_orphans, held_to
from ipexlaunch.launch.read_host_counters import count_oom_kills
from ipexlaunch.measure.report import write_report
from ipexlaunch.launch.placement.inspect_workers import Inspector
from ipexlaunch.machine.proc_files import descendants
from ipexlaunch.launch.job import Job
from ipexlaunch.launch.make_launch import make_launch
from ipexlaunch.launch.lifecycle import Limits
from ipexlaunch.plan import Instance, Plan, Request
from ipexlaunch.measure.report import aggregate
from ipexlaunch.launch.supervise import SupervisorCallbacks, supervise

instances = tuple(Instance(index=i, cpus=frozenset(), nodes=frozenset(), threads=1) for i in range(256))
plan = Plan(topology="0" * 16, request=Request(), instances=instances, idle_cpus=frozenset())
launch = make_launch(plan, Job(program="sleep", arguments=(sys.argv[1],), kind="executable"), os.environ)
adopt_orphans()
inspector = Inspector()
callbacks = SupervisorCallbacks(bind_thread=held_to, read_placement=inspector, read_placement_if_cheap=inspector.glance,
              descendants=descendants, oom_kills=count_oom_kills, tell=lambda text: print(text, file=sys.stderr))
report = aggregate(supervise(launch, callbacks, os.environ, Limits(grace_s=20.0)))
with open(sys.argv[2], "w") as file:
    file.write(write_report(report))
sys.exit(report.exit_code)
"""
"""256 workers on whatever machine this is: the planner would rightly refuse them, the supervisor must not mind."""

HIDDEN = """
import os, sys, time
from ipexlaunch import worker
tag = os.environ["FAULT_TAG"]
for _ in range(2):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.chdir("/")
            os.execve("/bin/sh", ["sh", "-c", "while :; do sleep 0.2; done", tag], {})
        os._exit(0)
worker.ready()
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    time.sleep(0.01)
    worker.count()
worker.finish()
"""
"""Two daemons that nothing of their parents' shows any more: forked twice, own sessions, empty environments."""
