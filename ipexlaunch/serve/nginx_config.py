"""What nginx is told of an endpoint, as the text of its configuration.

It knows how a slot fares only from requests that failed there (passive checks; others are sold with nginx Plus), and
says nothing of requests in flight: figures by slot are HAProxy's. Tried with 1.22, the release of Debian 12; directives
are those of ngx_http_upstream_module and ngx_http_proxy_module.
"""

from __future__ import annotations

from ipexlaunch.serve.endpoint import ANSWER_S, BODY_BYTES, CONNECT_S, RETRIES, Endpoint, joined

_BALANCE = {"leastconn": ["least_conn;"], "roundrobin": [], "random": ["random two least_conn;"]}
"""Whom a request goes to; each in turn where nothing is said."""


def nginx_config(endpoint: Endpoint, drained: frozenset[int] = frozenset(), user: str | None = None) -> str:
    """The text, for `nginx -p FOLDER -c FILE -e stderr`: files that it writes lie in the folder.

    A slot leaves and comes back by another text and SIGHUP; workers of the old one finish what they have.

    Args:
        endpoint: what to keep; its sockets and scripts are HAProxy's.
        drained: indices of slots that get no request.
        user: who the workers are where root starts it; None for any other.

    Raises:
        RequestError: see `Endpoint.check`.
    """
    endpoint.check()
    proxy = [
        "proxy_pass http://slots;",
        "proxy_http_version 1.1;",
        "proxy_set_header Host $http_host;",
        "proxy_set_header Upgrade $http_upgrade;",
        "proxy_set_header Connection $connection_header;",
        "proxy_buffering off;",  # tokens are sent on as they come
    ]
    # Without non_idempotent: POST, LOCK and PATCH are not tried again once they were sent.
    once = [*proxy, "proxy_next_upstream error timeout;"]
    again = [*proxy, "proxy_next_upstream error timeout non_idempotent;"]
    server = [
        f"listen {joined(endpoint.address, endpoint.port)};",
        *_block("location /", ["error_page 418 = @again;", "if ($may_be_repeated) { return 418; }", *once]),
        *_block("location @again", again),
    ]
    http = [
        "access_log off;",
        *(f"{kind}_temp_path {kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")),
        "client_max_body_size 0;",
        f"client_body_buffer_size {BODY_BYTES};",
        f"proxy_connect_timeout {_ms(CONNECT_S)};",
        f"proxy_read_timeout {_ms(ANSWER_S)};",
        f"proxy_send_timeout {_ms(ANSWER_S)};",
        f"proxy_next_upstream_tries {RETRIES + 1};",
        "keepalive_timeout 60s;",
        *_block("map $http_upgrade $connection_header", ["default upgrade;", "'' close;"]),
        *_block("map $http_idempotency_key$http_x_idempotent $may_be_repeated", ["default 1;", "'' 0;"]),
        *(_affinity(endpoint.affinity_header) if endpoint.affinity_header is not None else []),
        *_block("upstream slots", _upstream(endpoint, drained)),
        *_block("server", server),
    ]
    lines = [
        "# Written by ipexlaunch; it is written again with every start.",
        *([f"user {user};"] if user is not None else []),
        "daemon off;",
        "master_process on;",
        f"worker_processes {endpoint.threads};",
        f"worker_shutdown_timeout {_ms(endpoint.drain_s)};",
        "pid nginx.pid;",
        "error_log stderr crit;",  # below that a line for each try that failed
        # Two of each request: the client's and the slot's.
        *_block("events", [f"worker_connections {2 * endpoint.connections};"]),
        *_block("http", http),
    ]
    return "".join(f"{line}\n" for line in lines)


def _upstream(endpoint: Endpoint, drained: frozenset[int]) -> list[str]:
    is_by_header = endpoint.affinity_header is not None
    rule = ["hash $affinity consistent;"] if is_by_header else _BALANCE[endpoint.balance]
    # A slot is left alone for a second after so many failures, not longer: where every slot is, nginx refuses at once
    # (measured: with 5 s, a third of all requests while one of two servers was killed every 2 s).
    fails = f"max_fails={endpoint.probe_failures} fail_timeout=1s"
    servers = [
        f"server {joined(slot.host, slot.port)} {fails}{' down' if slot.index in drained else ''};"
        for slot in endpoint.slots
    ]
    # Shared between the workers, or each would count for itself.
    return ["zone slots 256k;", *rule, *servers]


def _affinity(header: str) -> list[str]:
    # Requests without the header have one value, "", and would all go to one slot: their own number stands for it.
    variable = f"$http_{header.lower().replace('-', '_')}"
    return _block(f"map {variable} $affinity", [f"default {variable};", "'' $request_id;"])


def _block(head: str, lines: list[str]) -> list[str]:
    return [f"{head} {{", *(f"    {line}" for line in lines), "}"]


def _ms(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"
