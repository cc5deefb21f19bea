"""A small web server with the manners, good and bad, of the ones that weights come from."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """One file, and how the server behaves; `requests` are (path, Range, If-Range) of what was asked."""

    content: bytes
    etag: str | None = '"v1"'
    ranges: bool = True
    status: int = 200
    fail_first: int = 0
    """Requests that are answered with `status` before the file is."""
    cut_after: int | None = None
    """Bytes of a body after which the connection ends, on the first `cut_times` requests."""
    cut_times: int = 1
    stall_seconds: float = 0
    """Silence in the middle of the first body."""
    content_type: str = "binary/octet-stream"
    says_length: bool = True
    wrong_range: bool = False
    heeds_if_range: bool = True
    surplus: bytes = b""
    """Sent after what was asked for, with a length and a range that say so."""
    endless: bool = False
    """The body never ends."""
    claims: int = 0
    """Bytes by which Content-Length is wrong."""
    trickle_seconds: float = 0
    """Pause between small pieces of a body."""
    moved_to: str = ""
    """Where ``/moved`` sends everyone; this server's own file by default."""
    requests: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    url: str = ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        site, wanted = self.site, self.headers.get("Range")
        site.requests.append((self.path, wanted, self.headers.get("If-Range")))
        number = len(site.requests)
        if self.path == "/moved":
            return self._answer(302, b"", {"Location": site.moved_to or "/file"})
        if self.path == "/round":
            return self._answer(302, b"", {"Location": "/round"})
        if self.path == "/away":
            return self._answer(302, b"", {"Location": "file:///etc/hostname"})
        if site.status != 200 and (number <= site.fail_first or not site.fail_first):
            return self._answer(site.status, b"<Error>AccessDenied</Error>", {"Content-Type": "application/xml"})
        return self._send_file(wanted, number)

    def _send_file(self, wanted: str | None, number: int) -> None:
        site, start = self.site, 0
        headers = {"Content-Type": site.content_type} | ({"ETag": site.etag} if site.etag else {})
        same = not site.heeds_if_range or self.headers.get("If-Range") in (None, site.etag)
        if wanted and site.ranges and same:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(site.content):
                return self._answer(416, b"", {"Content-Range": f"bytes */{len(site.content)}"})
            start += 7 if site.wrong_range else 0
            headers["Content-Range"] = f"bytes {start}-{len(site.content) - 1}/{len(site.content)}"
        body = site.content[start:] + (site.surplus if start else b"")
        cut = site.cut_after if number <= site.cut_times else None
        return self._answer(206 if "Content-Range" in headers else 200, body, headers, cut=cut)

    def _answer(self, status: int, body: bytes, headers: dict[str, str], *, cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.site.says_length:
            self.send_header("Content-Length", str(len(body) + self.site.claims))
        self.close_connection = True
        self.send_header("Connection", "close")
        self.end_headers()
        sent = body if cut is None else body[:cut]
        if self.site.endless:
            self._flood(sent)
            return
        if self.site.trickle_seconds:
            self._trickle(sent)
            return
        self.wfile.write(sent[: len(sent) // 2])
        if self.site.stall_seconds and len(self.site.requests) == 1:
            self.wfile.flush()
            time.sleep(self.site.stall_seconds)
        with suppress(BrokenPipeError, ConnectionResetError):  # the client lost patience
            self.wfile.write(sent[len(sent) // 2 :])

    def _flood(self, body: bytes) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):
            while True:
                self.wfile.write(body)

    def _trickle(self, body: bytes) -> None:
        piece = len(body) // 5 + 1
        with suppress(BrokenPipeError, ConnectionResetError):
            for start in range(0, len(body), piece):
                self.wfile.write(body[start : start + piece])
                self.wfile.flush()
                time.sleep(self.site.trickle_seconds)


@contextmanager
def serve(site: Site) -> Iterator[Site]:
    """Serve `site` at ``site.url`` while the block runs."""
    handler = type("Handler", (_Handler,), {"site": site})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
