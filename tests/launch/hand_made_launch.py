"""Starts workers on whatever cpus it is told, which no planner would.

    hand_made_launch.py PYTHON PLACES MODE NODE SCRIPT ARGUMENTS...

PLACES is JSON, for each worker {"cpus": [...], "nodes": [...], "threads": N}; MODE what their start shares. NODE is
"own", or the node of the template, whatever those of its workers are.
The exit code is the run's, the last line on stdout its report.
"""

import json
import os
import sys
from dataclasses import replace

from ipexlaunch.cli.run.make_job import workers_module_path
from ipexlaunch.launch.bind import adopt_orphans, held_to
from ipexlaunch.launch.job import Job
from ipexlaunch.launch.lifecycle import Limits
from ipexlaunch.launch.make_launch import make_launch
from ipexlaunch.launch.placement.inspect_workers import Inspector
from ipexlaunch.launch.share_start import Sharing, share_start
from ipexlaunch.launch.supervise import SupervisorCallbacks, supervise
from ipexlaunch.machine.proc_files import descendants
from ipexlaunch.measure.report import aggregate, write_report
from ipexlaunch.plan.plan import Instance, Plan


def main(python: str, places: str, mode: str, node: str, script: str, *arguments: str) -> int:
    instances = tuple(
        Instance(index=i, cpus=frozenset(place["cpus"]), nodes=frozenset(place["nodes"]), threads=place["threads"])
        for i, place in enumerate(json.loads(places))
    )
    job = Job(program=script, arguments=arguments, python=python, module_path=workers_module_path())
    launch = make_launch(Plan(topology="0" * 16, instances=instances), job, os.environ)
    templates, why = ((), "") if mode == "no" else share_start(launch, mode, os.environ)  # type: ignore[arg-type]
    if why:
        print(why, file=sys.stderr)
    if node != "own":
        elsewhere = frozenset([int(node)])
        templates = tuple(replace(each, instance=replace(each.instance, nodes=elsewhere)) for each in templates)
    inspector = Inspector()
    callbacks = SupervisorCallbacks(
        bind_thread=lambda *words: held_to(*words, strict=False),
        read_placement=inspector,
        read_placement_if_cheap=inspector.glance,
        descendants=descendants,
        oom_kills=lambda: None,
        tell=lambda text: print(text, file=sys.stderr),
    )
    adopt_orphans()
    sharing = Sharing(templates=templates)
    report = aggregate(supervise(launch, callbacks, os.environ, Limits(), sharing=sharing))
    print(json.dumps(json.loads(write_report(report))))
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
