"""One port for all servers without a proxy: the kernel deals connections to whoever listens on it (SO_REUSEPORT).

Each listens on a port of its own too, by which it says that it is ready: on the common one nobody knows who answers.
"""

import http.server
import os
import socket
import sys
import threading


class Answer(http.server.BaseHTTPRequestHandler):
    """Says which slot it is."""

    def do_GET(self):
        """The answer to every path."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"slot {os.environ.get('IPEXLAUNCH_INDEX', '0')}\n".encode())

    def log_request(self, *_):
        """Of nothing: the answer is what counts here."""


def serve(listener):
    server = http.server.ThreadingHTTPServer(listener.getsockname(), Answer, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.serve_forever()


own, common = (("127.0.0.1", int(port)) for port in sys.argv[1:])
threading.Thread(target=serve, args=(socket.create_server(common, reuse_port=True),), daemon=True).start()
serve(socket.create_server(own))
