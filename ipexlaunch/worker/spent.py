"""What this process has cost so far: processor time, and memory that is in no file.

Like ipexlaunch.worker it needs nothing but the standard library of Python 3.6.
"""

import resource

_before: "dict[str, float]" = {}
"""In a worker that was forked from a template: what that had cost, where this worker answers for it, else 0."""


def spent() -> "dict[str, float]":
    """Seconds of processor time (cpu_s), those of ended children too, and bytes of anonymous memory (anonymous_bytes),
    where the kernel tells them.

    Of a worker that was forked from a template the pages that it has written itself: the others are the template's.
    """
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    found = {"cpu_s": sum(usage.ru_utime + usage.ru_stime for usage in usages) + _before.get("cpu_s", 0.0)}
    # RssAnon since Linux 4.5, smaps_rollup since 4.14 (proc(5)).
    path, name = ("smaps_rollup", b"Private_Dirty:") if _before else ("status", b"RssAnon:")
    try:
        with open("/proc/self/" + path, "rb") as file:
            for line in file:
                if line.startswith(name):
                    found["anonymous_bytes"] = int(line.split()[1]) * 1024 + int(_before.get("anonymous_bytes", 0))
    except OSError:
        pass
    return found


def begin_in_fork(before: "dict[str, float]") -> None:
    """This is a worker now that was forked from a template.

    Args:
        before: what the template had cost, where this worker answers for it.
    """
    _before.update(before or {"cpu_s": 0.0})
