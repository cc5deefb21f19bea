"""Stores for tests: a real S3 server in this process (moto's), and a web server with every bad manner; both count what they send."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass
class Sent:
    """What a server has sent: requests as (method, path, Range), and how often each byte of each file went out."""

    refused: dict[str, str] = field(default_factory=dict)  # S3's word for why, by method
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    stretches: dict[str, list[tuple[int, int]]] = field(default_factory=dict)

    def note(self, method: str, path: str, wanted: str, count: int) -> None:
        """A request that was answered with `count` bytes of a file."""
        self.requests.append((method, path, wanted))
        if count and method == "GET":
            start = int(_RANGE.fullmatch(wanted)[1]) if wanted else 0
            self.stretches.setdefault(path, []).append((start, start + count))

    def clear(self) -> None:
        self.requests.clear()
        self.stretches.clear()

    @property
    def total(self) -> int:
        """Bytes that went out."""
        return sum(stop - start for parts in self.stretches.values() for start, stop in parts)

    def distinct(self, path: str) -> int:
        """Bytes of a file that went out at least once."""
        count = reached = 0
        for start, stop in sorted(self.stretches.get(path, [])):
            count += max(stop - max(start, reached), 0)
            reached = max(reached, stop)
        return count

    @property
    def times_each(self) -> float:
        """How often a byte that went out went out, on average."""
        return self.total / sum(map(self.distinct, self.stretches))


@contextmanager
def s3_server(monkeypatch) -> Iterator[Sent]:
    """A server at which the environment points, with a bucket named ``bucket``."""
    from moto.moto_api._internal import moto_api_backend
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log(self, *args: object) -> None:
            pass

    moto_api_backend.reset()
    sent = Sent()
    inner, one_at_a_time = DomainDispatcherApplication(create_backend_app), threading.Lock()

    def counted(environ, start_response):
        if reason := sent.refused.get(environ["REQUEST_METHOD"]):
            start_response("403 Forbidden", [("Content-Type", "application/xml")])
            return [f"<Error><Code>{reason}</Code><Message>not with this key</Message></Error>".encode()]
        with one_at_a_time:  # a store's exclusive create is one step; moto's looks first
            body = b"".join(inner(environ, start_response))
        wanted = environ.get("HTTP_RANGE", "")
        sent.note(environ["REQUEST_METHOD"], environ["PATH_INFO"], wanted, len(body))
        return [body]

    server = make_server("127.0.0.1", 0, counted, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    forget_stores()
    import fsspec

    fsspec.filesystem("s3").mkdir("bucket")
    try:
        yield sent
    finally:
        forget_stores()
        server.shutdown()
        server.server_close()
        thread.join()


def forget_stores() -> None:
    """Have the next call make its connection anew, from the environment as it is then."""
    import s3fs

    from vjepa_fer.remote import stores

    stores._file_system.cache_clear()
    s3fs.S3FileSystem.clear_instance_cache()


@dataclass
class Manners:
    """How the web server behaves; every fault is that of each `every`-th request for bytes."""

    fail: bool = False
    cut: bool = False
    stall_seconds: float = 0
    every: int = 3
    ranges: bool = True
    sent: Sent = field(default_factory=Sent)
    faults: Counter = field(default_factory=Counter)
    url: str = ""


@contextmanager
def web_server(folder: Path, manners: Manners) -> Iterator[Manners]:
    """Serve the files of a folder at ``manners.url``."""
    lock, number = threading.Lock(), [0]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = folder / self.path.lstrip("/")
            if not path.is_file():
                self._answer(404, b"", {})
                return
            with lock:
                number[0] += 1
                faulty = number[0] % manners.every == 0
            if manners.fail and faulty:
                manners.faults["fail"] += 1
                self._answer(503, b"", {})
                return
            data, wanted = path.read_bytes(), self.headers.get("Range", "")
            found = _RANGE.fullmatch(wanted) if manners.ranges else None
            headers = {"Accept-Ranges": "bytes"}
            part = data
            if found:
                start, stop = int(found[1]), min(int(found[2] or len(data)) + 1, len(data))
                part = data[start:stop]
                headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
            whole = not (faulty and (manners.cut or manners.stall_seconds))
            manners.sent.note(self.command, self.path, wanted if found else "", len(part) if whole else 0)
            self._answer(206 if found else 200, part, headers, faulty=not whole)

        def _answer(self, status: int, body: bytes, headers: dict[str, str], *, faulty: bool = False) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            with suppress(BrokenPipeError, ConnectionResetError):
                self.wfile.write(body[: len(body) // 2] if faulty else body)
                if faulty:
                    self.wfile.flush()
                    manners.faults["stall" if manners.stall_seconds else "cut"] += 1
                    time.sleep(manners.stall_seconds)
                    self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    manners.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield manners
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
