"""The shape of a plan document, as pydantic checks it (loaded only where a plan is read)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from ipexlaunch.errors import RequestError
from ipexlaunch.machine.cpulist import parse_list
from ipexlaunch.plan.request import Device, Goal, MemoryPolicy, MemoryTier, Scope, Strategy


def _ids(value: Any) -> frozenset[int]:
    """ "0-3,8", or 5 where YAML read a single id as a number, or nothing."""
    if value is None:
        return frozenset()
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError('it should be a list of ids such as "0-13,56-69"')
    try:
        return parse_list(str(value), "the list")
    except RequestError as error:
        raise ValueError(f"{error.available}; {error.hint}") from None


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Ids = Annotated[frozenset[int], BeforeValidator(_ids)]
ListText = Annotated[StrictStr, BeforeValidator(_text)]
Count = Annotated[StrictInt, Field(ge=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class RequestModel(_Strict):
    """What was asked for; every key may be missing."""

    ninstances: Count | None = None
    ncores_per_instance: Annotated[StrictInt, Field(ge=-1)] | Literal["auto"] | None = None
    cores_list: ListText | None = None
    nodes_list: ListText | None = None
    use_logical_cores: StrictBool = False
    use_e_cores: StrictBool = False
    strategy: Strategy | None = None
    scope: Scope | None = None
    bind_numa_node: StrictBool = False
    instance_idx: ListText | None = None
    latency_mode: StrictBool = False
    throughput_mode: StrictBool = False
    goal: Goal | None = None
    reserve_cores: Annotated[StrictInt, Field(ge=0)] = 0
    memory_per_instance_bytes: Count | None = None
    greedy: StrictBool = False
    groups: tuple[StrictStr, ...] = ()
    memory: MemoryTier | None = None
    memory_policy: MemoryPolicy | None = None
    device: Device | None = None
    accelerators: ListText | None = None


class InstanceModel(_Strict):
    """One line of `instances`."""

    index: Annotated[StrictInt, Field(ge=0)]
    cpus: Ids
    nodes: Ids
    memory: MemoryPolicy = "bind"
    threads: Count
    accelerator: Annotated[StrictStr, Field(pattern=r"^((xpu|cuda):[0-9]{1,4})?$")] = ""


class PlanModel(_Strict):
    """A plan document without its first line."""

    topology: Annotated[StrictStr, BeforeValidator(_text)]
    request: RequestModel = RequestModel()
    instances: list[InstanceModel]
    idle_cpus: Ids = frozenset()
