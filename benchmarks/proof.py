"""What the proof of placement costs the launcher: looks at 64 workers of 20 threads and 60 MB at intervals of 10 s.

    python benchmarks/proof.py --json proof.json

The processor time is that of the looking process alone (user and system, so the kernel's walks through page tables
are in it). The workers sleep, as what a look costs does not depend on what a worker does between looks.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from ipexlaunch.launch.placement.inspect_workers import Inspector
from ipexlaunch.launch.placement.proc_text import memory_of, resident_of

WORKER = "worker"


def work(megabytes: int, threads: int) -> None:
    buffer = bytearray(megabytes << 20)
    buffer[::4096] = b"\1" * len(buffer[::4096])
    for _ in range(threads - 1):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()


def measure(workers: int, threads: int, megabytes: int, interval_s: float, rounds: int) -> dict[str, float]:
    argv = [sys.executable, __file__, WORKER, str(megabytes), str(threads)]
    processes = [
        subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "IPEXLAUNCH_INDEX": str(index)}
        )
        for index in range(workers)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        inspector = Inspector()
        begun = time.process_time()
        seen = [inspector(process.pid) for process in processes]
        whole_s = time.process_time() - begun
        costs: list[float] = []
        looks = page_looks = 0
        for _ in range(rounds):
            time.sleep(interval_s)
            begun = time.process_time()
            glances = [inspector.glance(process.pid) for process in processes]
            costs.append(time.process_time() - begun)
            looks += sum(glance is not None for glance in glances)
            page_looks += sum(glance.page_looks for glance in glances if glance is not None)
        begun = time.perf_counter()
        memory_of(Path(f"/proc/{processes[0].pid}/numa_maps").read_text(encoding="utf-8"))
        resident_of(Path(f"/proc/{processes[0].pid}/smaps_rollup").read_text(encoding="utf-8"))
        pages_s = time.perf_counter() - begun
    finally:
        for process in processes:
            process.communicate()
    return {
        "workers": workers,
        "threads": sum(placement.threads for placement in seen if placement is not None),
        "anonymous_mb": sum(sum((placement.pages or {}).values()) for placement in seen if placement is not None) / 1e6,
        "interval_s": interval_s,
        "whole_round_cpu_s": whole_s,
        "round_cpu_s": sum(costs) / rounds,
        "worst_round_cpu_s": max(costs),
        "core_share": sum(costs) / (rounds * interval_s),
        "looks_share": looks / (rounds * workers),
        "page_looks_share": page_looks / (rounds * workers),
        "pages_s": pages_s,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=64, help="processes (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=20, help="of each (default: %(default)s)")
    parser.add_argument("--megabytes", type=int, default=60, help="that each touches (default: %(default)s)")
    parser.add_argument("--interval", type=float, default=10.0, help="seconds between rounds (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=12, help="of looks at intervals (default: %(default)s)")
    parser.add_argument("--json", help="write the figures there too")
    options = parser.parse_args()
    row = measure(options.workers, options.threads, options.megabytes, options.interval, options.rounds)
    print(
        f"{row['workers']:.0f} workers, {row['threads']:.0f} threads, {row['anonymous_mb']:.0f} MB of anonymous memory"
    )
    print(f"whole look at all, at ready and at the end: {1e3 * row['whole_round_cpu_s']:.0f} ms of cpu time")
    print(
        f"round every {row['interval_s']:g} s: {1e3 * row['round_cpu_s']:.0f} ms of cpu time "
        f"(worst {1e3 * row['worst_round_cpu_s']:.0f} ms), {row['core_share']:.2%} of one core; "
        f"{row['looks_share']:.0%} of the workers looked at, pages read of {row['page_looks_share']:.0%}"
    )
    print(f"pages of one worker: {1e3 * row['pages_s']:.2f} ms")
    if options.json:
        Path(options.json).write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == [WORKER]:
        work(int(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
