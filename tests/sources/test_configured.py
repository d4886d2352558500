"""Queues of a configuration file that take from brokers: run, loaded again and checked, with the password in a file."""

import json
import re
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from jollyae import Spool
from jollyae.spool.owner import items_below
from tests.helpers import drop
from tests.real.support import Done, Process, environment, until
from tests.sources.conftest import Store
from tests.sources.scene import COPY, Queue
from tests.sources.sqs_server import SqsServer

PASSWORD = "hun@ter/2:é%41"
"""What a URL could not hold as it is."""


class Configured:
    """``jollyae`` with a configuration file in a directory."""

    def __init__(self, directory: Path, store: dict[str, str]) -> None:
        self.directory = directory
        self.file = directory / "jollyae.toml"
        self.out = directory / "out"
        self.out.mkdir()
        self._environment = environment(directory, **store)
        self._processes: list[Process] = []

    @property
    def copying(self) -> str:
        """The line of a queue that copies each item into :attr:`out`."""
        return f"exec = {json.dumps(f'{shlex.quote(sys.executable)} -c {shlex.quote(COPY)} {{}} {self.out}')}\n"

    def start(self, *words: str) -> Process:
        """Start a verb with the file."""
        command = [sys.executable, "-W", "error", "-m", "jollyae", words[0], "-c", str(self.file), *words[1:]]
        stem = self.directory / f"output-{len(self._processes)}"
        self._processes.append(Process(command, self._environment, stem))
        return self._processes[-1]

    def checked(self, text: str, *words: str) -> tuple[int, dict[tuple[str, str], dict[str, Any]]]:
        """The exit code of ``check``, and what it found, by queue and subject. It tells no password."""
        self.file.write_text(text)
        done: Done = self.start("check", "--json", *words).wait()
        assert PASSWORD not in done.out + done.err
        found = [json.loads(line) for line in done.out.splitlines()]
        assert found, done.err
        return done.code, {(one["queue"], one["subject"]): one for one in found}

    def came(self) -> list[bytes]:
        """The bytes of all that was worked on, in order."""
        return sorted(path.read_bytes() for path in self.out.iterdir() if path.suffix != ".part")

    def close(self) -> None:
        """End what still runs."""
        for process in self._processes:
            process.kill()


@pytest.fixture
def configured(store: Store, tmp_path: Path) -> Iterator[Configured]:
    """Processes that are ended at the end; no file that they wrote has the password."""
    made = Configured(tmp_path, store.environment)
    yield made
    made.close()
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or path.name == "password" or PASSWORD.encode() not in path.read_bytes(), path


@pytest.fixture
def user(queue: Queue, tmp_path: Path) -> Iterator[str]:
    """A user of the broker, whose password is in the file ``password``."""
    name = f"worker-{queue.name}"
    queue.rabbit.control("add_user", name, PASSWORD)
    queue.rabbit.control("set_permissions", name, ".*", ".*", ".*")
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    file.chmod(0o600)
    yield name
    queue.rabbit.control("delete_user", name)


@pytest.fixture
def broker(queue: Queue, user: str) -> Callable[..., str]:
    """``broker(name)``: the table of a queue that takes from it, without a destination."""
    where = f"127.0.0.1:{queue.rabbit.port}"

    def broker(name: str = "thumbs", origin: str = "", *lines: str) -> str:
        url = f"amqp://{user}@{where}/{origin or queue.name}"
        head = [f"[queue.{name}]", f'from = "{url}"', 'from_password_file = "password"', f'workdir = "work-{name}"']
        return "\n".join([*head, *lines, ""])

    return broker


# --- run


def test_a_queue_of_a_broker_beside_a_spool(
    configured: Configured, queue: Queue, store: Store, broker: Callable[..., str]
) -> None:
    """Both are worked on in one run, two processes at the broker; loaded again with another workdir its items go on
    there, and the spool beside it is not disturbed. Each object is worked on once, the messages are acknowledged, the
    copies removed."""
    bodies = [f"body {number}".encode() for number in range(60)]
    spool = Spool(configured.directory / "files")
    beside = f'[queue.files]\nspool = "files"\nsettle = 0\nto = "file://{configured.directory}/to"\n'
    more = f"processes = 2\n{configured.copying}"
    configured.file.write_text(broker() + more + beside)
    run = configured.start("run", "--log-format", "json")
    run.until_says("taking from amqp://")
    until(lambda: len(run.lines("taking from amqp://")) == 2, run.tail)
    queue.send(*(store.put(f"{number}.txt", body) for number, body in enumerate(bodies[:30])))
    drop(spool, "one")
    until(lambda: len(configured.came()) == 30, run.tail)
    work = configured.directory / "work-thumbs"

    def receipts() -> int:
        files = (path for share in "01" for path in (work / share / "receipts").glob("*.jsonl"))
        return sum(path.read_text().count("\n") for path in files)

    until(lambda: receipts() == 30, run.tail)

    configured.file.write_text(broker().replace("work-thumbs", "elsewhere") + more + beside)
    run.send(signal.SIGHUP)
    run.until_says("configuration loaded again: 1 queue changed")
    queue.send(*(store.put(f"{number}.txt", body) for number, body in enumerate(bodies[30:], 30)))
    drop(spool, "two")
    until(lambda: len(configured.came()) == 60, run.tail)
    until(lambda: {path.name for path in spool.places.finished.iterdir()} == {"one", "two"}, run.tail)
    assert (configured.directory / "elsewhere" / "1" / "incoming").is_dir()
    assert run.end().code == 0, run.tail()
    assert configured.came() == sorted(bodies)
    assert queue.waiting() == 0
    for place in ("work-thumbs", "elsewhere"):
        shares = (configured.directory / place / share / name for share in "01" for name in ("incoming", "finished"))
        assert not [name for share in shares for name in items_below(str(share))]
    queues = {line["queue"] for line in map(json.loads, run.err().splitlines()) if "queue" in line}
    assert queues == {"thumbs", "files"}, run.err()


def test_another_password_counts_without_a_new_start(
    configured: Configured, queue: Queue, store: Store, broker: Callable[..., str]
) -> None:
    """Refused with a wrong one, it pauses, and says where the password is; it goes on when the file is right."""
    file = configured.directory / "password"
    file.write_text("wrong\n")
    configured.file.write_text(broker() + configured.copying)
    run = configured.start("run")
    run.until_says("paused", "login refused")
    assert "--from-password-file" in run.err()
    file.write_text(PASSWORD)
    queue.send(store.put("a.txt", b"a"))
    until(lambda: configured.came() == [b"a"], run.tail)
    assert run.end().code == 0, run.tail()


def test_a_pause_is_for_all_processes(
    configured: Configured, queue: Queue, store: Store, broker: Callable[..., str]
) -> None:
    """Each has places of its own: all of them take nothing until resumed."""
    configured.file.write_text(broker("q", "", "processes = 2", "prefetch = 2") + configured.copying)
    run = configured.start("run")
    until(lambda: len(run.lines("taking from amqp://")) == 2, run.tail)
    paused = configured.start("pause", "--reason", "moving").wait()
    assert paused.code == 0 and paused.out.count("paused") == 1, paused.err
    until(lambda: len(run.lines("paused by hand: moving")) == 2, run.tail)
    queue.send(*(store.put(f"{number}.txt", b"x") for number in range(10)))
    until(
        lambda: [name for share in "01" for name in items_below(f"{configured.directory}/work-q/{share}/incoming")],
        run.tail,
    )
    assert not configured.came()
    assert configured.start("resume").wait().out == "q: resumed\n"
    until(lambda: len(configured.came()) == 10, run.tail)
    assert run.end().code == 0, run.tail()


def test_on_done_keep_keeps_the_copy(
    configured: Configured, queue: Queue, store: Store, broker: Callable[..., str]
) -> None:
    """In finished/, and idle_exit ends the queue."""
    queue.send(store.put("a.txt", b"a"))
    configured.file.write_text(broker("q", "", 'on_done = "keep"', "idle_exit = 1") + configured.copying)
    run = configured.start("run")
    assert run.wait().code == 0, run.tail()
    assert (configured.directory / "work-q" / "finished" / "a.txt").read_bytes() == b"a"


@pytest.mark.parametrize("option", ["--once", "--dry-run"])
def test_what_has_no_end_is_refused(configured: Configured, option: str) -> None:
    """With the queue's name, its line, and what to use instead; nothing is made."""
    configured.file.write_text('[queue.q]\nfrom = "amqp://127.0.0.1:1/q"\nworkdir = "w"\nexec = "true"\n')
    done = configured.start("run", option).wait()
    assert done.code == 78 and f"line 1: queue q: it takes from a broker, which has no end, and {option}" in done.err
    assert "idle_exit" in done.err and not (configured.directory / "w").exists()


def test_a_password_that_cannot_be_read_refuses_the_start(configured: Configured) -> None:
    """With the queue and its line: it is a fault of the configuration."""
    head = '[queue.q]\nfrom = "amqp://me@127.0.0.1:1/q"\nworkdir = "w"\nexec = "true"\n'
    configured.file.write_text(f'{head}from_password_file = "not-there"\n')
    done = configured.start("run").wait()
    assert done.code == 78 and "line 1: queue q: --from-password-file" in done.err
    assert "not-there: No such file or directory" in done.err


def test_the_command_line_has_no_queue_of_a_file(configured: Configured) -> None:
    """Each has its own; what the environment says of one broker is not put onto all."""
    configured.file.write_text('[queue.q]\nfrom = "amqp://127.0.0.1:1/q"\nworkdir = "w"\nexec = "true"\n')
    done = configured.start("run", "--from", "sqs://q").wait()
    assert done.code == 2 and "--from does not go with -c" in done.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--from", "amqp://me:pw@h/q", "--from-password-file", "f"), 78, "a password in the URL, and a file of it"),
        (("--from", "sqs://q", "--from-password-file", "f"), 78, "sqs:// has no password"),
        (("--from", "http://me:pw@h/q"), 78, "nothing can be taken from there"),
        (("--from", "sqs://q", "--once"), 2, "--from has no end"),
    ],
)
def test_what_cannot_be_on_a_command_line(tmp_path: Path, words: tuple[str, ...], code: int, said: str) -> None:
    """Each says what is wrong, and no password."""
    (tmp_path / "f").write_text("hunter2")
    command = [sys.executable, "-m", "jollyae", "run", *words, "--workdir", str(tmp_path / "w"), "--exec", "true"]
    done = Process(["env", "-C", str(tmp_path), *command], environment(tmp_path), tmp_path / "run").wait()
    assert done.code == code and said in done.err, done.err
    assert "pw" not in done.err and "hunter2" not in done.err


@pytest.mark.parametrize("option", ["--prefetch", "--from-region", "--workdir", "--from-password-file"])
def test_what_is_for_a_broker_alone(tmp_path: Path, option: str) -> None:
    """It would do nothing, and the user believes it does."""
    command = [sys.executable, "-m", "jollyae", "run", str(tmp_path), option, "1", "--exec", "true"]
    done = Process(command, environment(tmp_path), tmp_path / "run").wait()
    assert done.code == 2 and f"{option} goes with --from" in done.err


# --- check


def test_a_check_of_a_broker_that_is_well(configured: Configured, queue: Queue, broker: Callable[..., str]) -> None:
    """How many messages wait, who takes from it, where dead letters go; nothing is taken or made."""
    queue.send(b"one", b"two")
    text = broker() + 'exec = "true"\n'
    code, found = configured.checked(text)
    assert code == 0, found
    assert found["thumbs", "broker"]["text"].endswith(f"/{queue.name}: 2 messages waiting, 0 consumers")
    assert found["thumbs", "dead letters"]["text"] == f"go to {queue.name}.dead, which is made for the first"
    assert found["thumbs", "places"]["state"] == "warning", "run makes what is missing"
    assert ("thumbs", "password") not in found
    assert found["thumbs", "store"]["state"] == "ok"
    assert found["thumbs", "store"]["text"].endswith("it answers; which bucket is meant, the messages say")
    assert queue.waiting() == 2 and queue.waiting(f"{queue.name}.dead") == -1
    assert not (configured.directory / "work-thumbs").exists()
    Queue(queue.rabbit, f"{queue.name}.dead").send(b"dead")
    assert configured.checked(text)[1]["thumbs", "dead letters"]["text"] == f"go to {queue.name}.dead, where 1 wait"
    code, found = configured.checked(text.replace(f'{queue.name}"', f'{queue.name}?dead-exchange=amq.fanout"'))
    assert code == 0 and "go to the exchange amq.fanout" in found["thumbs", "dead letters"]["text"]


def test_a_password_for_all_to_read_is_told(configured: Configured, broker: Callable[..., str]) -> None:
    """A warning with the command that mends it."""
    (configured.directory / "password").chmod(0o644)
    code, found = configured.checked(broker() + 'exec = "true"\n', "--no-network")
    assert code == 0 and found["thumbs", "password"]["state"] == "warning"
    assert found["thumbs", "password"]["hint"] == f"chmod 600 {configured.directory}/password"
    assert "not asked" in found["thumbs", "broker"]["text"]


@pytest.mark.parametrize(
    ("change", "said", "hint"),
    [
        (("/{queue}", "/no-such-queue"), "there is no such queue", "Make it, and bind it"),
        (("{user}@", "nobody@"), "login refused", "--from-password-file"),
        (("127.0.0.1:{port}", "127.0.0.1:1"), "Connection refused", "Does the broker run?"),
        (("amqp:", "amqps:"), "no secure connection", "else use amqp://"),
        (("/{queue}", "/no-vhost/{queue}"), "no such virtual host", "Check it in --from (in a configuration: from)."),
        (('/{queue}"', '/{queue}?dead-exchange=none"'), "there is no exchange none", "bind a queue to it"),
    ],
)
def test_a_check_of_a_broker_that_is_not_well(
    configured: Configured,
    queue: Queue,
    user: str,
    broker: Callable[..., str],
    change: tuple[str, str],
    said: str,
    hint: str,
) -> None:
    """What is wrong, with what to do: exit code 1. The texts are those of a running worker."""
    old, new = (one.format(queue=queue.name, user=user, port=queue.rabbit.port) for one in change)
    text = broker().replace(old, new)
    assert text != broker()
    code, found = configured.checked(text + 'exec = "true"\n')
    assert code == 1 and found["thumbs", "broker"]["state"] == "failed", found
    assert said in found["thumbs", "broker"]["text"] and hint in found["thumbs", "broker"]["hint"]


@pytest.mark.parametrize(
    ("endpoint", "said", "hint"),
    [
        ("http://127.0.0.1:1", "connection refused", "Is the store running, and is the endpoint URL right?"),
        ("http://store.invalid", "the endpoint's name cannot be found", "Check the endpoint URL"),
        ("https://127.0.0.1:{port}", "no secure connection", "The server speaks no TLS there."),
    ],
)
@pytest.mark.parametrize("key", ["endpoint_url", "from_endpoint_url"])
def test_a_check_of_a_store_that_is_not_there(
    configured: Configured,
    queue: Queue,
    store: Store,
    broker: Callable[..., str],
    key: str,
    endpoint: str,
    said: str,
    hint: str,
) -> None:
    """As run would say it, before its first message; not without the network."""
    port = store.environment["AWS_ENDPOINT_URL_S3"].rpartition(":")[2].rstrip("/")
    text = broker("q", "", f'{key} = "{endpoint.format(port=port)}"', 'exec = "true"')
    code, found = configured.checked(text)
    assert code == 1 and found["q", "broker"]["state"] == "ok"
    assert found["q", "store"]["state"] == "failed", found
    assert said in found["q", "store"]["text"] and hint in found["q", "store"]["hint"], found
    code, found = configured.checked(text, "--no-network")
    assert code == 0 and "not asked" in found["q", "store"]["text"]


class Refusing(BaseHTTPRequestHandler):
    """A store that lets nobody list its buckets."""

    def do_GET(self) -> None:
        """AccessDenied."""
        body = b"<Error><Code>AccessDenied</Code><Message>No</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_a_store_that_refuses_answers(configured: Configured, broker: Callable[..., str]) -> None:
    """Which rights it needs depends on the bucket, that only messages name."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        endpoint = f'endpoint_url = "http://127.0.0.1:{server.server_port}"'
        code, found = configured.checked(broker("q", "", endpoint, 'exec = "true"'))
    finally:
        server.shutdown()
        server.server_close()
    assert code == 0 and "it answers (403 AccessDenied); which bucket" in found["q", "store"]["text"], found


def test_the_environments_password_file_is_for_amqp(configured: Configured, store: Store) -> None:
    """A queue of SQS beside it has no password, and a spool has no broker."""
    (configured.directory / "password").write_text("from the environment")
    queues = {"a": "amqp://me@127.0.0.1:1/q", "s": "sqs://q"}
    text = "".join(
        f'[queue.{name}]\nfrom = "{url}"\nworkdir = "{name}"\nexec = "true"\n' for name, url in queues.items()
    )
    configured.file.write_text(f'{text}[queue.f]\nspool = "f"\nexec = "true"\n')
    words = ["check", "--json", "--no-network", "-c", str(configured.file)]
    password = {"JOLLYAE_FROM_PASSWORD_FILE": str(configured.directory / "password")}
    stem = configured.directory / "with-password"
    command = [sys.executable, "-m", "jollyae", *words]
    done = Process(command, environment(configured.directory, **store.environment, **password), stem).wait()
    found = [json.loads(line) for line in done.out.splitlines()]
    assert not [one for one in found if one["subject"] == "settings" and one["state"] == "failed"], found
    told = [one["queue"] for one in found if one["subject"] == "password"]
    assert told == ["a"], "it can be read by all"


@pytest.mark.parametrize("by_option", [True, False])
def test_a_password_on_the_command_line_is_warned_of(tmp_path: Path, by_option: bool) -> None:
    """Once, without it; none where the environment has it, which others cannot see."""
    url = "amqp://me:hunter2@127.0.0.1:1/q"
    words = ["--from", url] if by_option else []
    command = [sys.executable, "-m", "jollyae", "run", *words, "--workdir", str(tmp_path / "w"), "--exec", "true"]
    given = environment(tmp_path, **({} if by_option else {"JOLLYAE_FROM": url}))
    run = Process([*command, "--processes", "2"], given, tmp_path / "run")
    try:
        run.until_says("paused")
        assert len(run.lines("the password in --from is on the command line")) == by_option, run.tail()
        assert ("JOLLYAE_FROM" in run.err() and "--from-password-file" in run.err()) or not by_option, run.err()
        assert "hunter2" not in run.err()
    finally:
        run.kill()


def test_a_check_without_a_configuration(configured: Configured, queue: Queue, store: Store, user: str) -> None:
    """check --from URL --workdir DIR, as run."""
    words = ["--from", f"amqp://{user}@127.0.0.1:{queue.rabbit.port}/{queue.name}", "--workdir", "w"]
    command = [sys.executable, "-m", "jollyae", "check", *words, "--from-password-file", "password", "--exec", "true"]
    stem = configured.directory / "check"
    given = environment(configured.directory, **store.environment)
    checking = Process(["env", "-C", str(configured.directory), *command], given, stem)
    done = checking.wait()
    assert done.code == 0, done.out + done.err
    assert re.search("ok +broker: .*: 0 messages waiting, 0 consumers\n", done.out), done.out
    assert "ok       store: endpoint" in done.out


# --- SQS


def test_a_check_of_sqs(store: Store, tmp_path: Path) -> None:
    """What waits, and how long a message is hidden; without a redrive policy a warning; no such queue is a failure."""
    with SqsServer() as server:
        server.make("q-dead")
        server.make("q", 30.0, dead="q-dead")
        server.make("bare")
        server.make("lost", dead="not-there")
        server.send("q", "{}")
        configured = Configured(tmp_path, store.environment | {"AWS_ENDPOINT_URL_SQS": server.endpoint})
        names = ("q", "bare", "lost", "missing")
        queue = '[queue.{0}]\nfrom = "sqs://{0}"\nworkdir = "{0}"\nexec = "true"\n'
        code, found = configured.checked("".join(map(queue.format, names)))
        assert code == 1
        assert found["q", "broker"]["text"].endswith(
            "1 message waiting; after a death a message comes again within 30 s"
        )
        assert found["q", "dead letters"]["text"] == "go to q-dead"
        assert (
            found["bare", "dead letters"]["state"] == "warning"
            and "RedrivePolicy" in found["bare", "dead letters"]["hint"]
        )
        assert "its dead-letter queue not-there" in found["lost", "broker"]["text"]
        assert "there is no such queue" in found["missing", "broker"]["text"]
        assert len(server.queues["q"].messages) == 1
        server.forbidden.add("GetQueueAttributes")  # which a worker can do without
        code, found = configured.checked(queue.format("q"))
        assert code == 0 and found["q", "broker"]["state"] == "warning"
        assert "sqs:GetQueueAttributes" in found["q", "broker"]["hint"]
        configured.close()
