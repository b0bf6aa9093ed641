"""What the table says of servers below its total."""

from __future__ import annotations

from ipexlaunch.machine.wording import counted
from ipexlaunch.measure.service import ServiceSummary


def service_parts(service: ServiceSummary) -> list[str]:
    """ "endpoint 127.0.0.1:8000", "3 restarts (instance 0: 2, 2: 1)", "0 refused, 7 tried again", "1 reload".

    Args:
        service: what it had.
    """
    parts = [f"endpoint {service.endpoint}"] if service.endpoint else []
    each = ", ".join(f"{index}: {times}" for index, times in sorted(service.restarts.items()))
    total = counted(sum(service.restarts.values()), "restart")
    parts.append(f"{total} (instance {each})" if each else "no restart")
    if service.refused is not None:
        parts.append(f"{service.refused} refused, {service.retries or 0} tried again")
    if service.strays:
        looks = ", ".join(f"{index}: {times}" for index, times in sorted(service.strays.items()))
        parts.append(f"found outside its slot by {counted(sum(service.strays.values()), 'look')} (instance {looks})")
    return [*parts, *([counted(service.reloads, "reload")] if service.reloads else [])]
