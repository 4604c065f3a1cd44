"""A web server of a folder, for tests: byte ranges, no listings, faults on demand."""

import re
import threading
from collections import Counter
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


class Served:
    """url: where the folder is; requests: how often each file was asked for.

    short: answers to cut in half, by file name; denied: whether all are refused; ranges: whether
    the server knows byte ranges
    """

    def __init__(self, folder, url):
        self.folder, self.url = Path(folder), url
        self.requests, self.short = Counter(), Counter()
        self.denied, self.ranges = False, True


class Handler(BaseHTTPRequestHandler):
    def __init__(self, served, *arguments):
        self.served = served
        super().__init__(*arguments)

    def do_GET(self):
        path = self.served.folder / unquote(self.path).lstrip("/")
        self.served.requests[path.name] += 1
        if self.served.denied or not path.is_file():
            self.send_error(403 if self.served.denied else 404)
            return
        data, asked = path.read_bytes(), self.headers["Range"] or ""
        wanted = self.served.ranges and re.match(r"bytes=(\d+)-(\d+)", asked)
        if wanted:
            data = data[int(wanted[1]) : int(wanted[2]) + 1]
        if self.served.short[path.name] > 0:
            self.served.short[path.name] -= 1
            data = data[: len(data) // 2]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@contextmanager
def serve(folder):
    """Serve a folder on this machine while the block lasts."""
    served = Served(folder, "")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, served)) as server:
        served.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()
