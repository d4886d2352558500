"""Planted secrets: whatever happens, no key, token or password is in anything that jollyae writes.

Keys in the environment, in a credentials file and its profile, a password in the endpoint's URL and in a proxy's; lives
that end well, are refused, redirected, cut off, aborted; with all that can be logged, as text and as JSON.
"""

import base64
import signal
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.faults import tier
from tests.faults.planted import command
from tests.faults.scene import Scene, scene
from tests.faults.store import Fault, Plan, at_random
from tests.real.support import Process, until

SECRETS = {
    "key id": "AKIAPLANTEDKEYID0001",
    "secret key": "planted/secret+key/in/the/environment/01",
    "session token": "planted-session-token//" + "t0ken" * 40 + "==",
    "secret key in a file": "planted/secret+key/in/a/file/0000000000",
    "token in a file": "planted-token-in-a-file",
    "password": "planted-passw0rd",
}


@dataclass(frozen=True)
class Life:
    """One run: ``fault`` befalls all requests; ``env``: set besides, ``{…}`` as :meth:`str.format`; it says ``until``
    (else it is run --once to its end), and is ended with ``how``."""

    options: tuple[str, ...] = ()
    fault: Fault | None = None
    env: dict[str, str] = field(default_factory=dict)
    until: str = ""
    how: signal.Signals = signal.SIGTERM


_URL = "http://user:planted-passw0rd@127.0.0.1:"
_FILE = {
    "AWS_ACCESS_KEY_ID": "",
    "AWS_SECRET_ACCESS_KEY": "",
    "AWS_SESSION_TOKEN": "",
    "AWS_SHARED_CREDENTIALS_FILE": "{home}/credentials",
    "AWS_PROFILE": "planted",
}
LIVES = {
    "ok": Life(),
    "from a file": Life(env=_FILE),
    "by a profile": Life(("--profile", "planted"), env=_FILE | {"AWS_PROFILE": ""}),
    "denied": Life(fault=Fault.DENIED),
    "skewed": Life(fault=Fault.SKEWED, until="paused"),
    "redirected": Life(fault=Fault.REDIRECT, until="paused"),
    "failing": Life(fault=Fault.INTERNAL, until="paused"),
    "cut off": Life(fault=Fault.RESET_IN_BODY, until="paused"),
    "no HTTP": Life(fault=Fault.GARBAGE, until="paused"),
    "unreachable": Life(("--endpoint-url", "http://127.0.0.1:9"), until="paused"),
    "unknown name": Life(("--endpoint-url", "http://nowhere.invalid"), until="paused"),
    "password in the option": Life(("--endpoint-url", _URL + "{port}"), until=" "),
    "password in the environment": Life(env={"AWS_ENDPOINT_URL_S3": _URL + "{port}"}, until=" "),
    "password of an unreachable": Life(("--endpoint-url", _URL + "9"), until=" "),
    "password of a proxy": Life(env={"HTTP_PROXY": _URL + "9", "HTTPS_PROXY": _URL + "9"}, until="paused"),
    "aborted": Life(fault=Fault.HANG_BEFORE, until="delivering to", how=signal.SIGABRT),
}
FEW = ("ok", "by a profile", "denied", "password in the option", "password of a proxy", "aborted")


def run(directory: Path, life: Life, transport: str, log: str, bug: str = "") -> list[str]:
    """One life, with `check`, `status` and `log` after it; where a secret can be read."""
    plan: Plan | None = at_random(life.fault, 1.0) if life.fault else None
    with scene(directory, plan, bug) as made:
        home = directory / "home"
        (home / "credentials").write_text(
            f"[planted]\naws_access_key_id = {SECRETS['key id']}\n"
            f"aws_secret_access_key = {SECRETS['secret key in a file']}\n"
            f"aws_session_token = {SECRETS['token in a file']}\n"
        )
        known = {"home": home, "port": made.store.port}
        options = [option.format(**known) for option in life.options]
        env = made.environment() | {
            "AWS_ACCESS_KEY_ID": SECRETS["key id"],
            "AWS_SECRET_ACCESS_KEY": SECRETS["secret key"],
            "AWS_SESSION_TOKEN": SECRETS["session token"],
            "PYTHONFAULTHANDLER": "1",
            **{name: value.format(**known) for name, value in life.env.items()},
        }
        env = {name: value for name, value in env.items() if value}
        made.submit("an item", b"its bytes")
        made.submit("a large one", bytes(300_000))
        before = ["env", "-C", str(directory), "prlimit", "--core=unlimited"]
        words = [*made.command("--transport", transport, "-v", "-v", "--log-format", log, *options)]
        worker = _start(made, [*before, *words, *(() if life.until else ("--once", "--settle", "0"))], env)
        if life.until:
            until(lambda: life.until in worker.err() or worker.popen.poll() is not None, lambda: worker.err())
            worker.send(life.how)
        code = worker.wait().code
        if life.how is signal.SIGABRT and code != -signal.SIGABRT:
            return [f"not aborted: {code}"]
        to = ("--to", "s3://bucket", "--transport", transport, *options)
        asks = [] if life.fault is Fault.HANG_BEFORE else [("check", *to), ("check", "--json", *to)]
        for verb in (*asks, ("status",), ("status", "--json"), ("log", "--json")):
            _start(made, [*before, *command(bug), verb[0], str(made.spool), *verb[1:]], env).wait()
        if not any(process.err() or process.out() for process in made.processes):
            return ["nothing was told"]
        return found(directory, except_for=home)


def _start(made: Scene, words: list[str], env: dict[str, str]) -> Process:
    stem = made.directory / "output" / str(len(made.processes))
    made.processes.append(Process(words, env, stem))
    return made.processes[-1]


def found(directory: Path, *, except_for: Path) -> list[str]:
    """The secrets that can be read in any file below the directory, as they are or encoded, and the files."""
    forms = {
        form: f"{what}{how}"
        for what, secret in SECRETS.items()
        for how, form in (
            ("", secret.encode()),
            (", quoted", quote(secret, safe="").encode()),
            (", in base64", base64.b64encode(secret.encode()).rstrip(b"=")),
            (", as user:password", base64.b64encode(b"user:" + secret.encode()).rstrip(b"=")),
        )
    }
    seen = []
    for path in directory.rglob("*"):
        if path.is_file() and not path.is_relative_to(except_for):
            data = path.read_bytes()
            seen += [f"{what} is in {path.relative_to(directory)}" for form, what in forms.items() if form in data]
            if path.name.startswith("core"):
                seen.append(f"there is a core: {path.name}")
    return seen


@pytest.mark.parametrize("life", FEW if tier.TIER == "sample" else LIVES)
def test_no_secret_is_told(tmp_path: Path, life: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In no output, log, receipt, note, state, traceback or core."""
    runs = [("auto", "json"), ("boto3", "text"), ("auto", "text"), ("boto3", "json")][: tier.scaled(2, 2, 4)]
    for transport, log in runs[:1] if tier.TIER == "sample" and life != "ok" else runs:
        directory = tmp_path / f"{transport}-{log}"
        directory.mkdir()
        assert run(directory, LIVES[life], transport, log) == []
    with capsys.disabled():
        print(f" secrets: {life}: 0 hits", end="")


def test_a_planted_bug_is_caught(tmp_path: Path) -> None:
    """A suite that does not see a secret in the log is broken."""
    wrong = run(tmp_path, LIVES["ok"], "auto", "text", "credentials_in_the_log")
    assert [one for one in wrong if one.startswith("secret key is in output/")], wrong
