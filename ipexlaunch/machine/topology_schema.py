"""What a topology document must look like, checked: rows as models, then what no machine can be.

Apart from topology_document so that writing one needs neither pydantic nor YAML, which take longer to load than a
machine takes to read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictFloat, StrictInt, StrictStr

from ipexlaunch.documents.text import Document, problem_at, validate
from ipexlaunch.errors import RequestError
from ipexlaunch.machine.cpulist import format_list, parse_list
from ipexlaunch.machine.topology import Accelerator, Cpu, Limit, LimitKind, Node, Topology


def _ids(value: object) -> frozenset[int]:
    """A list such as "0-13,56-69"; one id may stand bare, because YAML reads 5 as a number."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise ValueError('it should be a list such as "0-13,56-69"')
    try:
        return parse_list(value)
    except RequestError as error:
        raise ValueError(f"{error.available} ({error.hint})") from None


def _whole_keys(value: object) -> object:
    """JSON has text keys only; "10" and 10 are the same node."""
    if not isinstance(value, dict):
        return value
    return {
        int(key) if isinstance(key, str) and key.isascii() and key.isdecimal() else key: value[key] for key in value
    }


Id = Annotated[StrictInt, Field(ge=0)]
Count = Annotated[StrictInt, Field(ge=0)]
Ids = Annotated[frozenset[int], BeforeValidator(_ids)]
Quota = Annotated[StrictFloat | StrictInt, Field(gt=0, allow_inf_nan=False)]
Table = Annotated[dict[Id, Count], BeforeValidator(_whole_keys)]


class _Row(BaseModel):
    model_config = ConfigDict(
        extra="forbid", allow_inf_nan=False, defer_build=True
    )  # built once, inside the whole document


class CpuRow(_Row):
    """One row of `cpus`."""

    id: Id
    core: Id
    socket: Id
    node: Id | None = None
    l2: Id | None = None
    l3: Id | None = None
    kind: Literal["performance", "efficiency"] | None = None
    die: Id | None = None
    cluster: Id | None = None


class NodeRow(_Row):
    """One row of `nodes`."""

    id: Id
    memory_bytes: Count
    distances: Table = {}
    huge_pages: Table = {}
    initiators: Ids = frozenset()
    read_bandwidth_mb_s: Count | None = None
    read_latency_ns: Count | None = None
    hidden_cpus: Ids = frozenset()


class AcceleratorRow(_Row):
    """One row of `accelerators`."""

    address: StrictStr
    vendor: StrictStr
    device: StrictStr
    node: Id | None = None


class LimitRow(_Row):
    """One row of `limits`."""

    kind: LimitKind
    file: StrictStr
    cpus: Ids | None = None
    nodes: Ids | None = None
    quota: Quota | None = None
    memory_bytes: Count | None = None
    page_bytes: Count | None = None


class TopologyDocument(_Row):
    """The whole document, without its `schema` key."""

    source: StrictStr = "made"
    about: StrictStr = ""
    cpu_model: StrictStr | None = None
    cpus: Annotated[list[CpuRow], Field(min_length=1)]
    nodes: list[NodeRow] = []
    allowed_cpus: Ids | None = None
    allowed_nodes: Ids | None = None
    cpu_quota: Quota | None = None
    memory_limit_bytes: Count | None = None
    isa: list[StrictStr] = []
    present_cpus: Ids = frozenset()
    possible_cpus: Ids = frozenset()
    offline_cpus: Ids = frozenset()
    isolated_cpus: Ids = frozenset()
    smt: StrictStr | None = None
    accelerators: list[AcceleratorRow] = []
    limits: list[LimitRow] = []
    gaps: list[StrictStr] = []


def topology_from_document(document: Document) -> Topology:
    """The machine of a document that is already parsed.

    Raises:
        DocumentError: what departs from the format, or contradicts itself, with its place.
    """
    model = validate(document, TopologyDocument)
    _check(document, model)
    with_memory = frozenset(row.id for row in model.nodes if row.memory_bytes)
    node_ids = frozenset(row.id for row in model.nodes)
    plain = model.model_dump(
        exclude={"cpus", "nodes", "accelerators", "limits", "allowed_cpus", "allowed_nodes", "isa", "gaps"}
    )
    return Topology(
        **plain,
        isa=frozenset(model.isa),
        gaps=tuple(model.gaps),
        allowed_cpus=frozenset(r.id for r in model.cpus) if model.allowed_cpus is None else model.allowed_cpus,
        allowed_nodes=(with_memory or node_ids) if model.allowed_nodes is None else model.allowed_nodes,
        cpus=tuple(Cpu(**vars(row)) for row in sorted(model.cpus, key=lambda row: row.id)),
        nodes=tuple(Node(**vars(row)) for row in sorted(model.nodes, key=lambda row: row.id)),
        accelerators=tuple(Accelerator(**vars(row)) for row in sorted(model.accelerators, key=lambda row: row.address)),
        limits=tuple(Limit(**vars(row)) for row in model.limits),
    )


def _check(document: Document, model: TopologyDocument) -> None:
    """Refuse what no machine can be: ids that come twice, references to what is not there."""
    _check_unique(document, "cpus", [row.id for row in model.cpus])
    _check_unique(document, "nodes", [row.id for row in model.nodes])
    cpus = {row.id: row for row in model.cpus}
    nodes = frozenset(row.id for row in model.nodes)
    for index, row in enumerate(model.cpus):
        path: tuple[str | int, ...] = ("cpus", index)
        first = cpus.get(row.core)
        if first is None or first.core != row.core or row.core > row.id:
            raise problem_at(document, (*path, "core"), f"{row.core} is not the lowest cpu id of a core", "")
        if first.socket != row.socket:
            raise problem_at(document, (*path, "socket"), f"cpu {row.id} and its sibling {row.core} differ", "")
        if row.node is not None and row.node not in nodes:
            raise problem_at(document, (*path, "node"), f"there is no node {row.node}", f"nodes: {format_list(nodes)}")
    for index, node in enumerate(model.nodes):
        strange = (set(node.distances) | node.initiators) - nodes
        if strange:
            key = "distances" if strange & set(node.distances) else "initiators"
            raise problem_at(document, ("nodes", index, key), f"there is no node {min(strange)}", "")
    for key, ids, known in (
        ("allowed_cpus", model.allowed_cpus, frozenset(cpus)),
        ("allowed_nodes", model.allowed_nodes, nodes),
    ):
        if ids is not None and not ids <= known:
            hint = f"there are {format_list(known)}" if known else "the document has no nodes"
            raise problem_at(document, (key,), f"{format_list(ids - known)} is not there", hint)


def _check_unique(document: Document, key: str, ids: Iterable[int]) -> None:
    seen: set[int] = set()
    for index, number in enumerate(ids):
        if number in seen:
            raise problem_at(document, (key, index, "id"), f"{number} stands there twice", "")
        seen.add(number)
