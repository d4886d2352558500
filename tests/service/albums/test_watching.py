"""album serve and the other servers: the page, the metrics, and the process that tells them."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from jollyae.album.couch.mesh import arrange
from jollyae.album.couch.topology import Kind
from jollyae.service.albums.watching import Told
from tests.album.conftest import fake_three  # noqa: F401 - a fixture
from tests.album.couch.support import Site, closing, sync
from tests.helpers import until
from tests.service.observing.test_metrics import check_with_promtool, parsed

SOURCE = Path(__file__).parents[3] / "src"


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


@sync
async def _ring(sites: list[Site]) -> None:
    stores = [await site.open() for site in sites]
    async with closing(*stores):
        await arrange(Kind.RING, [site.address() for site in sites])


def test_the_servers_are_watched_beside_the_pages(fake_three: list[Site], tmp_path: Path) -> None:  # noqa: F811
    """Prometheus is told of all links, in a form that promtool likes, without a user or a password; one that is away is
    told as not well; the last file is left behind at the end."""
    _ring(fake_three)
    own = fake_three[0].address()
    (tmp_path / "passwords").write_text(
        "".join(f"{site.address().user}@{site.address().host} {site.address().password}\n" for site in fake_three)
    )
    port, file = _free_port(), tmp_path / "album.prom"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("JOLLYAE_")}
    more = {"PYTHONPATH": str(SOURCE), "JOLLYAE_ALBUM_PASSWORD_FILE": str(tmp_path / "passwords")}
    command = [sys.executable, "-m", "jollyae", "album", "serve", str(own), "--port", "0"]
    command += ["--metrics-addr", str(port), "--metrics-file", str(file)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean | more
    ) as child:
        try:
            url = f"http://127.0.0.1:{port}"
            name = "jollyae_album_replication_last_success_timestamp_seconds{"
            until(lambda: _get(f"{url}/metrics")[1].count(name) == 6, "all links to be told")
            text = _get(f"{url}/metrics")[1]
            check_with_promtool(text)
            found = parsed(text)
            assert len([key for key in found if key[0] == "jollyae_album_replication_up"]) == 6
            assert "admin" not in text and own.password not in text
            assert _get(f"{url}/livez")[0] == _get(f"{url}/readyz")[0] == 200
            until(file.exists, "the file")
            check_with_promtool(file.read_text())
            assert child.stdout is not None
            page = child.stdout.readline().split()[-1]
            assert _get(f"{page}servers")[0] == 200  # the login's page, where it leads
        finally:
            child.send_signal(signal.SIGTERM)
            _, said = child.communicate(timeout=60)
    assert child.returncode == 0
    assert re.fullmatch(r".*metrics on http://127\.0\.0\.1:\d+/metrics\n", said), said


def test_an_album_in_a_file_replicates_with_nobody() -> None:
    """Nothing is told of it but what we are, and it is as alive as can be."""
    told = Told(None)
    assert list(told.alive(0.0)) == list(told.ready(0.0)) == []
    assert set(parsed(told.text())) == {key for key in parsed(told.text()) if key[0] == "jollyae_build_info"}


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """One sentence, no traceback, and no pages."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("JOLLYAE_")}
    environment = clean | {"PYTHONPATH": str(SOURCE)}
    url = f"sqlite:///{tmp_path}/album.sqlite"
    program = [sys.executable, "-m", "jollyae", "album"]
    subprocess.run([*program, "init", url, "--no-user"], check=True, env=environment, capture_output=True, timeout=60)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        words = ["serve", url, "--port", "0", "--metrics-addr", str(taken.getsockname()[1])]
        said = subprocess.run([*program, *words], env=environment, capture_output=True, text=True, timeout=60)
    assert said.returncode == 78 and "--metrics-addr" in said.stderr and "Traceback" not in said.stderr
