"""A small server for tests, which can be slow, stream, and die in the middle of an answer.

    python slot_server.py PORT NAME [--host 127.0.0.1] [--at-once 8] [--load SECONDS] [--half-speed NAME]

--load: it takes so long to begin. --at-once: so many requests are worked on, others wait. --half-speed: a server of
this name takes twice as long for everything.

Every answer has the header `X-Slot: NAME`. Paths:
    /health           200
    /who              the name; ?s=0.2 waits first, ?cpu=0.01 computes first
    /pid              its process id
    /size             how many bytes the request's body has
    /stream           ?n=10&s=0.05: so many lines, so far apart
    /die?flag=FILE    kills itself before its answer, the first time (then the file is there); ?after=header in the
                      middle of the header, ?after=body in the middle of the body
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import time
from urllib.parse import parse_qs, urlsplit


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("name")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--at-once", type=int, default=1000)
    parser.add_argument("--load", type=float, default=0.0)
    parser.add_argument("--half-speed", default="")
    words = parser.parse_args()
    time.sleep(words.load)
    slowness = 2.0 if words.half_speed == words.name else 1.0
    asyncio.run(serve(words.host, words.port, words.name, words.at_once, slowness))


async def serve(host: str, port: int, name: str, at_once: int, slowness: float) -> None:
    room = asyncio.Semaphore(at_once)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await one(reader, writer, name, room, slowness):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, host, port, backlog=1024)
    async with server:
        await server.serve_forever()


async def one(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str, room: asyncio.Semaphore, slowness: float
) -> bool:
    """Answer one request; whether another may follow on this connection."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    except asyncio.IncompleteReadError:
        return False
    lines = head.split("\r\n")
    url = urlsplit(lines[0].split(" ")[1])
    query = {key: values[0] for key, values in parse_qs(url.query).items()}
    fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    body = await reader.readexactly(int(fields.get("content-length", "0")))
    stays = fields.get("connection", "") != "close"
    if url.path == "/die":
        await die(writer, query)
    if url.path == "/stream":
        await stream(writer, query, name)
        return False
    async with room:
        await asyncio.sleep(slowness * float(query.get("s", "0")))
        compute(slowness * float(query.get("cpu", "0")))
    text = {"/size": str(len(body)), "/pid": str(os.getpid())}.get(url.path, name)
    kept = "keep-alive" if stays else "close"
    writer.write(
        f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\nX-Slot: {name}\r\nConnection: {kept}\r\n\r\n{text}".encode()
    )
    await writer.drain()
    return stays


def compute(seconds: float) -> None:
    """Use so much of a cpu, however long that takes."""
    until = time.process_time() + seconds
    while seconds and time.process_time() < until:
        pass


async def stream(writer: asyncio.StreamWriter, query: dict[str, str], name: str) -> None:
    writer.write(f"HTTP/1.1 200 OK\r\nX-Slot: {name}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
    for number in range(int(query.get("n", "10"))):
        line = f"data: {number}\n"
        writer.write(f"{len(line):x}\r\n{line}\r\n".encode())
        await writer.drain()
        await asyncio.sleep(float(query.get("s", "0.05")))
    writer.write(b"0\r\n\r\n")
    await writer.drain()


async def die(writer: asyncio.StreamWriter, query: dict[str, str]) -> None:
    try:
        os.close(os.open(query["flag"], os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return
    begun = {"header": b"HTTP/1.1 200 OK\r\nContent-Le", "body": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"}
    if "after" in query:
        writer.write(begun[query["after"]])
        await writer.drain()
        await asyncio.sleep(0.3)  # until it has arrived
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
