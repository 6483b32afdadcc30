"""A model hub on this machine that serves a folder, with the faults that real ones have."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Hub:
    """Serves `folder` as every repository, at the commit that is asked for; `newest` is that of main.
    With `known`, only repositories of these names are there.

    `fault` says what happens to files: dropped, short, wrong, busy, patient, hanging, html, missing, failing;
    `times` how often, before all is well. `asked` lists the requests with their ranges.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.newest = "a" * 40
        self.known: set[str] | None = None
        self.fault, self.times = "", 10**9
        self.ranges = True
        self.asked: list[tuple[str, str]] = []
        self.url = ""
        self.sent = 0

    def listing(self, commit: str) -> dict[str, Any]:
        siblings = []
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                content = path.read_bytes()
                entry: dict[str, Any] = {
                    "rfilename": path.relative_to(self.folder).as_posix(),
                    "size": len(content),
                    "blobId": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(),
                }
                if path.suffix in (".safetensors", ".bin"):
                    digest = hashlib.sha256(content).hexdigest()
                    entry["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 134}
                siblings.append(entry)
        return {"sha": commit, "siblings": siblings}


@contextmanager
def serving(folder: Path) -> Iterator[Hub]:
    """A hub with the files of `folder`, at `url` while inside."""
    hub = Hub(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(hub, self)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False  # one that hangs must not keep the test
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def _answer(hub: Hub, request: BaseHTTPRequestHandler) -> None:
    hub.asked.append((request.path, request.headers.get("Range", "")))
    if listed := re.fullmatch(r"/api/models/([^?]+)/revision/(\w+)\?blobs=true", request.path):
        if hub.known is not None and listed[1] not in hub.known:
            request.send_error(401)  # as huggingface.co does, for it may be private
            return
        commit = hub.newest if listed[2] == "main" else listed[2]
        _send(hub, request, json.dumps(hub.listing(commit)).encode(), hub.fault == "html" and _due(hub))
        return
    found = re.fullmatch(r"/[^/]+/[^/]+/resolve/(\w{40})/(.+)", request.path)
    path = hub.folder / found[2] if found else hub.folder
    if not path.is_file():
        request.send_error(404)
        return
    _send_file(hub, request, path.read_bytes())


def _due(hub: Hub) -> bool:
    hub.times -= 1
    return hub.times >= 0


def _send(hub: Hub, request: BaseHTTPRequestHandler, content: bytes, as_html: bool) -> None:
    content = b"<html>Please log in to this network</html>" if as_html else content
    request.send_response(200)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)


def _send_file(hub: Hub, request: BaseHTTPRequestHandler, content: bytes) -> None:
    fault = hub.fault if hub.fault and _due(hub) else ""
    codes = {"busy": 429, "patient": 429, "failing": 503, "missing": 404}
    if fault in codes:
        request.send_response(codes[fault])
        if fault in ("busy", "patient"):
            request.send_header("Retry-After", "600" if fault == "patient" else "0")
        request.send_header("Content-Length", "0")
        request.end_headers()
        return
    if fault == "hanging":
        threading.Event().wait(5)
        return
    if fault == "wrong":
        content = bytes(byte ^ 1 for byte in content)
    span = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
    begin = int(span[1]) if span and hub.ranges else 0
    rest = content[begin:]
    request.send_response(206 if begin else 200)
    if begin:
        request.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
    request.send_header("Content-Length", str(len(rest) // 2 if fault == "short" else len(rest)))
    request.end_headers()
    request.wfile.write(rest[: (len(rest) + 1) // 2] if fault in ("dropped", "short") else rest)
    request.wfile.flush()
    request.close_connection = True
