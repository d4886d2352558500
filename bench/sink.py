"""The null sink: nginx with Lua from Debian's packages, http and https on free ports of 127.0.0.1.

Its configuration is nginx.conf beside this file. It ends with the context, and by itself when the benchmark is killed.
"""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from .programs import ends_with_us

TEMPLATE = Path(__file__).with_name("nginx.conf")
MODULES = Path("/usr/lib/nginx/modules")


class Unavailable(Exception):
    """This cannot be had here; the text says what is missing."""


@dataclass(frozen=True)
class Counts:
    """What the sink saw since its last reset. ``start``, ``end``: time of the first and last PUT, seconds (epoch)."""

    requests: int
    objects: int
    parts: int
    refused: int
    nbytes: int
    start: float
    end: float


@dataclass(frozen=True)
class Sink:
    """A running null sink."""

    http: str
    https: str
    ca: Path

    def counts(self) -> Counts:
        """What it has seen."""
        found = json.loads(self._get("counts"))
        whole = {name: int(found[name]) for name in ("requests", "objects", "parts", "refused")}
        return Counts(**whole, nbytes=int(found["bytes"]), start=found["start"], end=found["end"])

    def reset(self) -> None:
        """Count from zero."""
        self._get("reset")

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"{self.http}/-/{path}", timeout=10) as answer:
            return bytes(answer.read())


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def serve(directory: Path, workers: int) -> Iterator[Sink]:
    """A null sink while the context lasts. Raises :class:`Unavailable`."""
    nginx = _nginx()
    _make_certificate(directory)
    port, tls_port = free_port(), free_port()
    values = {
        "DIR": str(directory),
        "MODULES": _load_modules(),
        "WORKERS": str(workers),
        "USER": "user root;" if os.geteuid() == 0 else "",  # else its workers may not enter our directory
        "PORT": str(port),
        "TLS_PORT": str(tls_port),
    }
    configuration = directory / "nginx.conf"
    configuration.write_text(fill(TEMPLATE.read_text(), values))
    sink = Sink(f"http://127.0.0.1:{port}", f"https://127.0.0.1:{tls_port}", directory / "tls.crt")
    command = ends_with_us([nginx, "-e", str(directory / "error.log"), "-c", str(configuration)])
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(sink, process, directory / "error.log")
        yield sink
    finally:
        process.terminate()
        process.wait(30)


def fill(template: str, values: dict[str, str]) -> str:
    """The template with each ``@NAME@`` replaced."""
    for name, value in values.items():
        template = template.replace(f"@{name}@", value)
    return template


def _nginx() -> str:
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if not found:
        raise Unavailable("nginx is not installed (Debian: nginx-light)")
    return found


def _load_modules() -> str:
    names = ("ndk_http_module.so", "ngx_http_lua_module.so")
    missing = [name for name in names if not (MODULES / name).exists()]
    if missing:
        raise Unavailable("nginx has no Lua (Debian: libnginx-mod-http-lua)")
    return "\n".join(f"load_module {MODULES / name};" for name in names)


def _make_certificate(directory: Path) -> None:
    if not shutil.which("openssl"):
        raise Unavailable("openssl is not installed")
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(directory / "tls.key")]
    command = ["openssl", "req", "-x509", *key, "-days", "30", "-subj", "/CN=localhost", "-addext", names]
    subprocess.run([*command, "-out", str(directory / "tls.crt")], check=True, capture_output=True)


def _wait_for(sink: Sink, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError):
            sink.counts()
            return
        time.sleep(0.05)
    told = log.read_text().splitlines()[-3:] if log.exists() else []
    raise Unavailable(f"the null sink did not start: {' '.join(told)}")
