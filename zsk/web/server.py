"""HTTP for `zsk.web.app`: a fixed table of addresses, none of which is a path of this machine.

What keeps other web pages out, which the same browser may show: a request has to name this machine
as its host by address, as "localhost" or as --host says (a page whose own domain is pointed here
would name that domain), and what another page sends has that page as its Origin. No answer permits
other pages to read it.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import socketserver
import sys
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from zsk.errors import UserError, lacks_memory
from zsk.segmentation import RESULT_ENDINGS
from zsk.web.app import App
from zsk.web.photos import Refused

MAX_UPLOAD = 32_000_000  # bytes
DRAINED = 8 * MAX_UPLOAD  # of a larger one, so that the browser comes to read the answer
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_PAGE = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
JSON = "application/json"

Answer = tuple[str, bytes]  # type and content


class Server(ThreadingHTTPServer):
    """Listens as soon as it is made; a thread for each connection.

    Args:
        host, port: 0 takes a free port.

    Raises:
        UserError: the port is taken, or the host is not this machine.
    """

    daemon_threads = True

    def __init__(self, host: str, port: int, app: App) -> None:
        self.app, self.host = app, host
        folder = Path(__file__).parent
        self.page = {at: (kind, (folder / file).read_bytes()) for at, (file, kind) in _PAGE.items()}
        try:
            family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self.address_family = family
            super().__init__((str(address[0]), port), Handler)
        except (OSError, OverflowError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(
                f"the page cannot be served at host {host}, port {port} ({reason}): give another "
                "--port or --host"
            ) from error

    def server_bind(self) -> None:
        """Without asking name servers for this machine's name, as the parent class does."""
        socketserver.TCPServer.server_bind(self)

    @property
    def address(self) -> str:
        """What to open in a browser on this machine."""
        host = "localhost" if self.host in ("0.0.0.0", "::") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server_address[1]}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is no error."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            traceback.print_exc()


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "zsk", ""
    timeout = 60  # seconds without a byte, after which the connection is closed

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def log_message(self, format: str, *args: Any) -> None:
        """No line for each request."""

    def _get(self) -> Answer:
        app, (path, query) = self.server.app, self._address()
        if path in self.server.page:
            return self.server.page[path]
        if path == "/model":
            return _json(app.model() | {"max_upload": MAX_UPLOAD})
        if path == "/photo.jpg":
            return "image/jpeg", app.photo(query.get("photo", ""))
        ending = path.removeprefix("/result")
        if path.startswith("/result") and ending in RESULT_ENDINGS:
            content = app.result(query.get("photo", ""), ending, query.get("opacity", ""))
            return JSON if ending.endswith("json") else "image/png", content
        raise Refused("there is nothing at this address", status=404)

    def _post(self) -> Answer:
        content = self._body()
        self._check_origin()
        app, (path, query) = self.server.app, self._address()
        if path == "/look":
            return _json(app.look(content, query.get("name", ""), query.get("instead", "")))
        actions = {"/segment": app.segment, "/at": app.at}
        if path not in actions:
            raise Refused("there is nothing at this address", status=404)
        try:
            asked = json.loads(content)
        except (ValueError, RecursionError):
            asked = None
        if not isinstance(asked, dict):
            raise Refused("the request is no JSON object")
        return _json(actions[path](asked))

    def _answer(self, action: Callable[[], Answer]) -> None:
        """Send what `action` returns, or the sentence that it raises; the server goes on."""
        status = 200
        try:
            self._check_host()
            kind, content = action()
        except (ConnectionError, TimeoutError):
            raise
        except UserError as error:
            status = error.status if isinstance(error, Refused) else 400
            kind, content = _json({"error": str(error)})
        except Exception as error:
            traceback.print_exc()
            cause = "a defect of the program, whose details are in the terminal of zsk web"
            if lacks_memory(error):
                cause = "there is not enough memory: give fewer words or a smaller photo"
            status, (kind, content) = 500, _json({"error": cause})
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if status != 200:  # what is left of the request is not read
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def _address(self) -> tuple[str, dict[str, str]]:
        path, _, query = self.path.partition("?")
        return path, {name: values[0] for name, values in parse_qs(query).items()}

    def _body(self) -> bytes:
        text = self.headers.get("Content-Length", "")
        if not (text.isascii() and text.isdigit()) or "Transfer-Encoding" in self.headers:
            raise Refused("the request does not say how long it is", status=411)
        length = int(text[:20])
        if length > MAX_UPLOAD:
            left = min(length, DRAINED)
            while left and (block := self.rfile.read(min(left, 1 << 16))):
                left -= len(block)
            raise Refused(
                f"the file has {length / 1e6:.4g} MB, and the limit is {MAX_UPLOAD / 1e6:.4g} MB: "
                "scale the photo down",
                status=413,
            )
        content = self.rfile.read(length)
        if len(content) < length:
            raise ConnectionAbortedError
        return content

    def _check_host(self) -> None:
        try:
            host = urlsplit(f"//{self.headers.get('Host', '')}").hostname or ""
        except ValueError:
            host = ""
        if not (_is_address(host) or host in ("localhost", self.server.host.lower())):
            raise Refused(
                f"the page is not served under the name {host!r}: open it by address, or start "
                "zsk web with --host and this name",
                status=403,
            )

    def _check_origin(self) -> None:
        origin = self.headers.get("Origin")  # what is no browser sends none
        if origin is not None and origin.partition("://")[2] != self.headers["Host"]:
            raise Refused("the request comes from another web page", status=403)


def _json(content: Any) -> Answer:
    return JSON, json.dumps(content).encode()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_local(host: str) -> bool:
    """Whether nothing but this machine reaches the host."""
    return host == "localhost" or _is_address(host) and ipaddress.ip_address(host).is_loopback
