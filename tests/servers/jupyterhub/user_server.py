"""A person's own server, as far as the hub can tell: it answers, and stops when it is asked to.

The file ``USER_SERVER_DELAYS`` holds two numbers: the seconds until it answers, and those that it takes to stop.
"""

import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlsplit


class Answer(BaseHTTPRequestHandler):
    """Says whose server this is, whatever is asked."""

    def do_GET(self) -> None:
        """Answer."""
        text = f"This is the server of {os.environ['JUPYTERHUB_USER']}.\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.send_header("X-JupyterHub-Version", "6.1.1")  # the hub complains about a server without it
        self.end_headers()
        self.wfile.write(text)


def stop(number: int, frame: object) -> None:
    """Take the time that stopping takes, and end."""
    time.sleep(delays()[1])
    sys.exit()


def delays() -> tuple[float, float]:
    """Return the seconds for starting and for stopping."""
    start, stop = Path(os.environ["USER_SERVER_DELAYS"]).read_text().split()
    return float(start), float(stop)


for asked in (signal.SIGINT, signal.SIGTERM):
    signal.signal(asked, stop)
time.sleep(delays()[0])
HTTPServer(("127.0.0.1", urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"]).port or 0), Answer).serve_forever()
