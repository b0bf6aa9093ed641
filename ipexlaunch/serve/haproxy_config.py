"""What HAProxy is told of an endpoint, as the text of its configuration.

Tried with 2.6, the release of Debian 12. Sections are those of its configuration manual (configuration.txt); what the
manual leaves open was read in its sources or measured, and says so.
"""

from __future__ import annotations

from ipexlaunch.serve.endpoint import ANSWER_S, BODY_BYTES, CONNECT_S, RETRIES, Endpoint, joined

FRONTEND = "endpoint"
BACKEND = "slots"
SERVER = "slot"
"""Before the index: slot0, slot1."""

WAIT_SCRIPT = """\
-- A request that finds no slot ready waits until one is, or its patience ends; HAProxy would refuse it at once.
core.register_action("wait_for_slot", { "http-req" }, function(txn, seconds)
    local patience = core.now().sec + tonumber(seconds)
    while txn.f:nbsrv("slots") == 0 and core.now().sec < patience do
        core.msleep(100)
    end
end, 1)
"""
"""For Lua 5.3 and later inside HAProxy; it runs for requests that must wait, and for no other.

A server that drains or is in maintenance has no queue in HAProxy 2.6: with no other left, `assign_server` gives
SRV_STATUS_NOSRV before it looks at any (src/backend.c), and the request is answered with 503.
"""

SESSIONS = 100_000
SESSION_MINUTES = 60
"""A session's slot is forgotten when nothing was heard of it for so long, or when there are more of them."""


def haproxy_config(endpoint: Endpoint) -> str:
    """The text, which `haproxy -c` accepts; each server is named after its slot, in the backend `slots`.

    With an admin socket every server is in maintenance until `HaproxySocket.set_state` says that it is ready.

    Args:
        endpoint: what to keep.

    Raises:
        RequestError: see `Endpoint.check`.
    """
    endpoint.check()
    parts = (_global(endpoint), _defaults(endpoint), _frontend(endpoint), _backend(endpoint))
    return "\n".join("".join(f"{line}\n" for line in part) for part in parts)


def server_id(index: int) -> int:
    """The number by which HAProxy's table of sessions names a slot; none is 0.

    Args:
        index: of the slot.
    """
    return index + 1


def _global(endpoint: Endpoint) -> list[str]:
    managed = [
        # 3.1: only whoever started it may talk to it. Without the timeout an idle line is kept for 10 seconds.
        f"    stats socket {_word(endpoint.admin_socket)} mode 600 level admin",
        "    stats timeout 60s",
    ]
    waits = [f"    lua-load-per-thread {_word(endpoint.wait_script or '')}"]
    return [
        "# Written by ipexlaunch; it is written again with every start.",
        "global",
        f"    maxconn {endpoint.connections}",
        f"    nbthread {endpoint.threads}",
        # 3.1: it would move to the first node. Whoever starts it has chosen its cpus.
        "    no numa-cpu-mapping",
        # 3.2: a request is tried again only where it fits one buffer whole (`retry-on`), less tune.maxrewrite, 1 KiB.
        f"    tune.bufsize {BODY_BYTES}",
        f"    hard-stop-after {_ms(endpoint.drain_s)}",
        *(managed if endpoint.admin_socket is not None else []),
        *(waits if endpoint.wait_script is not None else []),
    ]


def _defaults(endpoint: Endpoint) -> list[str]:
    return [
        "defaults",
        "    mode http",
        # A client that has gone leaves no work behind: its server sees the connection end, as it would without a proxy.
        # Here, since the line to the client is watched for it only where the frontend has the option, too (measured).
        "    option abortonclose",
        f"    timeout connect {_ms(CONNECT_S)}",
        f"    timeout client {_ms(ANSWER_S)}",
        f"    timeout server {_ms(ANSWER_S)}",
        f"    timeout tunnel {_ms(ANSWER_S)}",
        # With `http-buffer-request` it is for headers and body, up to what one buffer takes.
        "    timeout http-request 60s",
        "    timeout http-keep-alive 60s",
        f"    timeout check {_ms(endpoint.probe_timeout_s)}",
    ]


def _frontend(endpoint: Endpoint) -> list[str]:
    waiting = f"    http-request lua.wait_for_slot {max(1, round(endpoint.wait_s))} if {{ nbsrv({BACKEND}) eq 0 }}"
    return [
        f"frontend {FRONTEND}",
        f"    bind {joined(endpoint.address, endpoint.port)}",
        # A body that is not whole when its first byte is sent is never tried again (src/stconn.c, sc_conn_send).
        "    option http-buffer-request",
        # Tokens are sent on as they come, not when a packet is full.
        "    option http-no-delay",
        # RFC 9110, 9.2.2: what may be repeated by its method; anything else where the client says so.
        "    acl may_be_repeated method GET HEAD OPTIONS TRACE PUT DELETE",
        "    acl may_be_repeated req.hdr(Idempotency-Key) -m found",
        "    acl may_be_repeated req.hdr(X-Idempotent) -m found",
        # A connection that was refused carried nothing, so it is tried again in any case.
        "    http-request disable-l7-retry unless may_be_repeated",
        *([waiting] if endpoint.wait_script is not None else []),
        f"    default_backend {BACKEND}",
    ]


def _backend(endpoint: Endpoint) -> list[str]:
    checks = [
        "    option httpchk",
        f"    http-check send meth GET uri {_word(endpoint.health_path)} ver HTTP/1.1 hdr Host localhost",
        "    http-check expect status 200-299",
    ]
    # Which slot a session was given, by the least loaded at that time, and not by a hash of its name: eight sessions on
    # four slots are two for each. Names may be secrets, so their digests are kept. 4.2: `stick on`, `stick-table`.
    sticks = [
        f"    stick-table type binary len 20 size {SESSIONS} expire {SESSION_MINUTES}m",
        f"    stick on req.hdr({endpoint.affinity_header}),sha1",
    ]
    # 5.2: `inter`, `fall`. One that was down is asked every second, and one good answer is enough.
    probes = f"check inter {_ms(endpoint.probe_interval_s)} downinter 1s fall {endpoint.probe_failures} rise 1"
    begins = " disabled" if endpoint.admin_socket is not None else ""
    return [
        f"backend {BACKEND}",
        f"    balance {endpoint.balance}",
        # A server that is killed is left at once for another one: at every try, not only at the last.
        f"    retries {RETRIES}",
        "    option redispatch 1",
        # conn-failure: nothing was sent. empty-response: the server ended before a whole header of its answer came.
        # Not response-timeout: a question that takes long would be asked of all slots, one after another.
        "    retry-on conn-failure empty-response",
        # A connection that a server has just closed must not be the one that the next request is sent on. With
        # `http-server-close` there is none, nor does an idle client hold a thread of a server that has few. It costs
        # 0.06 ms of cpu for a request here, and 0.15 ms in a server of Python's asyncio (measured).
        "    http-reuse never",
        "    option http-server-close",
        *(checks if endpoint.health_path is not None else []),
        *(sticks if endpoint.affinity_header is not None else []),
        f"    default-server {probes}",
        *(
            f"    server {SERVER}{slot.index} {joined(slot.host, slot.port)} id {server_id(slot.index)}{begins}"
            for slot in endpoint.slots
        ),
    ]


def _ms(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"


def _word(text: str | None) -> str:
    """As one word, whatever characters it has. Source: 2.2, quoting and escaping."""
    return "'" + (text or "").replace("'", "'\\''") + "'"
