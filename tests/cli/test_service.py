"""``jollyae service``: prints, installs, and leaves alone what others wrote."""

import os
import shlex
from pathlib import Path

import pytest

from jollyae.cli.main import build_parser
from tests.cli.conftest import Call
from tests.helpers import needs_root

SPOOL = ("/srv/spool", "--to", "s3://uploads")


@pytest.mark.parametrize("manager", ["systemd", "launchd", "cron"])
def test_installed_and_installed_again(call: Call, tmp_path: Path, manager: str) -> None:
    """What is there from before is written again; what somebody changed is left alone, and said."""
    words = ("service", manager, *SPOOL, "--install", "--directory", str(tmp_path / "units"))
    first = call(*words)
    assert first.code == 0 and "Next:" in first.out, first.err
    [file] = (tmp_path / "units").iterdir()
    assert f"wrote {file}" in first.out and file.stat().st_mode & 0o777 == 0o644
    assert call(*words, "--grace", "90").code == 0
    file.write_text(file.read_text() + "\n")
    changed = file.read_text()
    told = call(*words)
    assert told.code == 78 and "was changed since it was made" in told.err
    file.write_text("mine")
    assert "is not one that jollyae made" in call(*words).err and file.read_text() == "mine" != changed


def test_all_or_none(call: Call, tmp_path: Path) -> None:
    """Where the timer is somebody else's, the service is not written either."""
    (tmp_path / "jollyae.timer").write_text("mine")
    told = call("service", "systemd", *SPOOL, "--path", "--install", "--directory", str(tmp_path))
    assert told.code == 78 and [path.name for path in tmp_path.iterdir()] == ["jollyae.timer"]


def test_what_the_environment_says_is_written_down(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service has another environment: options, region and endpoint from ours are in it, keys are not."""
    monkeypatch.setenv("JOLLYAE_GRACE", "90")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    told = call("service", "systemd", *SPOOL)
    assert "--grace 90\n" in told.out and "TimeoutStopSec=120\n" in told.out
    assert "Environment=AWS_REGION=eu-central-1\n" in told.out
    assert "hush" not in told.out and "the keys in your environment are not in it" in told.err


def _word(text: str) -> str:
    """As systemd.service(5) has a word that may hold a space."""
    return f'"{text}"' if " " in text else text


def test_the_options_of_run_come_through(call: Call) -> None:
    """Repeated ones, pairs and switches too; a relative path is made absolute."""
    options = (
        "--metadata",
        "a=b",
        "--tag",
        "c=d e",
        "--exclude",
        "*.bak",
        "--head-first",
        "-q",
        "--ca-bundle",
        "x.pem",
    )
    [line] = [line for line in call("service", "systemd", *SPOOL, *options).out.splitlines() if "ExecStart=" in line]
    for text in (
        "--metadata a=b",
        '--tag "c=d e"',
        "--exclude *.bak",
        "--head-first",
        f"--ca-bundle {_word(f'{Path.cwd()}/x.pem')}",
    ):
        assert text in line
    assert line.endswith(" -q")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("systemd", "/srv/spool"), 2, "say where to deliver"),
        (("cron", *SPOOL, "--path"), 2, "--path is for systemd"),
        (("cron", *SPOOL, "--user", "--install"), 2, "crontab -e"),
        (("launchd", *SPOOL, "--web"), 2, "--web is for systemd"),
        (("systemd", *SPOOL, "--failed", "/elsewhere"), 78, "have only / in common"),
        (("systemd", *SPOOL, "--once"), 2, "unknown: --once"),
    ],
)
def test_what_cannot_be(call: Call, words: tuple[str, ...], code: int, said: str) -> None:
    """Each says what is wrong."""
    told = call("service", *words)
    assert told.code == code and said in told.err


def test_several_units_are_told_apart(call: Call) -> None:
    """Printed, each is below its path."""
    out = call("service", "systemd", *SPOOL, "--path", "--user").out
    assert [line.rpartition("/")[2] for line in out.splitlines() if line.startswith("# /")] == [
        "jollyae.service",
        "jollyae.path",
        "jollyae.timer",
    ]


def test_a_spool_that_others_may_write(call: Call, tmp_path: Path) -> None:
    """The mode of incoming/ says that others put files in."""
    call("init", str(tmp_path / "spool"), "--mode", "1733")
    assert "CAP_LEASE" in call("service", "systemd", str(tmp_path / "spool"), "--to", "s3://uploads").out


# --- a configuration


CONFIG = """
[metrics]
file = "/var/lib/node_exporter/jollyae.prom"
[queue.photos]
spool = "/srv/photos"
to = "s3://bucket/prefix"
grace = 60
notify = ["hook"]
[queue.scans]
spool = "/srv/scans"
incoming = "/srv/scans/in"
to = "file:///mnt/scans"
{more}
[notify.hook]
url = "https://hooks.example/x"
secret_file = "hook.secret"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Two queues, one with a webhook."""
    path = tmp_path / "jollyae.toml"
    path.write_text(CONFIG.format(more=""))
    return path


def test_a_unit_for_a_configuration(call: Call, config: Path) -> None:
    """It may write where its queues are and deliver to, has the secrets, and reloads what is right."""
    told = call("service", "systemd", "-c", config, "--path", "--idle-exit", "90")
    assert told.code == 0, told.err
    assert f"run -c {config} --idle-exit 90\n" in told.out
    assert f" check -c {config} --would-run\nExecReload=/bin/kill -HUP $MAINPID\n" in told.out
    assert "\nReadWritePaths=/srv/photos /srv/scans /mnt/scans /var/lib/node_exporter\n" in told.out
    assert "\nPathModified=/srv/photos/incoming\nPathModified=/srv/scans/in\n" in told.out
    secret = config.parent / "hook.secret"
    assert f"\nLoadCredential={str(secret).strip('/').replace('/', '-')}:{secret}\n" in told.out
    assert "\nTimeoutStopSec=90\n" in told.out and "\nMemoryDenyWriteExecute=yes\n" in told.out
    assert "webhook" not in told.err, "its address is in the file"
    both = call("service", "systemd", "-c", config, "--web")
    assert f" web -c {config}\n" in both.out and both.out.count("\nReadWritePaths=/srv/photos /srv/scans") == 2


def test_a_command_in_a_configuration(call: Call, config: Path) -> None:
    """One queue with a command is enough for what commands need."""
    config.write_text(CONFIG.format(more="").replace('to = "file:///mnt/scans"', 'exec = "ocr {}"'))
    assert "MemoryDenyWriteExecute=yes, ProcSubset" in call("service", "systemd", "-c", config).out
    assert f"flock -n {config} " in call("service", "cron", "-c", config).out


def test_a_wrong_configuration_makes_no_unit(call: Call, config: Path) -> None:
    """What run would refuse is refused here, with its line."""
    config.write_text(CONFIG.format(more="bandwith = 5"))
    told = call("service", "systemd", "-c", config)
    assert told.code == 78 and "unknown key 'bandwith'" in told.err and not told.out


def test_a_webhook_on_the_command_line_is_told(call: Call) -> None:
    """Units are for all to read, and the address may be a secret."""
    told = call("service", "systemd", *SPOOL, "--notify", "https://hooks.example/x")
    assert "--notify https://hooks.example/x" in told.out and "for all to read" in told.err


def test_every_option_comes_through_as_it_was(call: Call) -> None:
    """Words are made of values, and the same values come of them."""
    given = [*SPOOL, "--prune-empty", "200d", "--keep-finished", "30d,500G", "--min-free", "5%", "--grace", "1.5"]
    given += ["--bandwidth", "08:00,512k 23:00,off", "--notify", "spool:///srv/next", "--metrics-addr", "9464"]
    [line] = [line for line in call("service", "systemd", *given).out.splitlines() if line.startswith("ExecStart=")]
    words = [word.replace("%%", "%") for word in shlex.split(line)]
    parse = build_parser(("run",)).parse_args
    before, after = vars(parse(["run", *given])), vars(parse(words[words.index("run") :]))
    assert {key: after[key] for key in after if key != "_seen"} == {key: before[key] for key in after if key != "_seen"}


def test_a_spool_of_somebody_else_is_given_to_the_user(call: Call, tmp_path: Path) -> None:
    """A spool that is there and not the service's own must become so, or nothing can be moved in it."""
    config = tmp_path / "j.toml"
    config.write_text(f'[queue.a]\nspool = "{tmp_path}/a"\nexec = "true"\n')
    assert call("init", tmp_path / "a").code == 0
    told = call("service", "systemd", "-c", config, "--install", "--directory", tmp_path / "units")
    assert told.code == 0 and f"  chown -R jollyae: {tmp_path}/a\n" in told.out


@needs_root
def test_a_destination_that_is_there_can_be_written_to(call: Call, tmp_path: Path) -> None:
    """Root's is given to the service's user, itself alone; another's, or one where all may write, is not: of another's
    it is said what is to be seen to."""
    for name, owner, mode in (("roots", 0, 0o755), ("open", 0, 0o1777), ("anothers", 65534, 0o755)):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(mode)
        os.chown(tmp_path / name, owner, owner)
    config = tmp_path / "j.toml"
    queues = [f'[queue.{name}]\nspool = "q/{name}"\nto = "file://{tmp_path}/{name}"\n' for name in ("roots", "open")]
    config.write_text("".join(queues) + f'[queue.c]\nspool = "q/c"\nto = "file://{tmp_path}/anothers"\n')
    told = call("service", "systemd", "-c", config, "--install", "--directory", tmp_path / "units")
    steps = [line.strip() for line in told.out.splitlines() if "chown" in line and "init" not in line]
    assert steps == [f"chown jollyae: {tmp_path}/roots"]
    assert f"{tmp_path}/anothers is not jollyae's, which must be able to write in it" in told.err
    own = call("service", "systemd", "-c", config, "--user", "--install", "--directory", tmp_path / "own")
    assert "chown" not in own.out + own.err


def test_what_lies_beside_a_spool_is_not_given_away(call: Call, tmp_path: Path) -> None:
    """Where incoming/ is elsewhere, neither the directory that holds both is given to the service's user nor what was
    there already; what is missing is made by init, with all places, and each step is there once."""
    (tmp_path / "ftp" / "in").mkdir(parents=True)
    config = tmp_path / "j.toml"
    config.write_text(
        f"""
        [queue.a]
        spool = "{tmp_path}/a"
        incoming = "{tmp_path}/ftp/in"
        exec = "true"
        [queue.b]
        spool = "{tmp_path}/my b"
        failed = "{tmp_path}/bad b"
        exec = "true"
        """
    )
    told = call("service", "systemd", "-c", config, "--install", "--directory", tmp_path / "units")
    steps = [line.strip() for line in told.out.splitlines() if "chown" in line]
    first = f"jollyae init {tmp_path}/a --incoming {tmp_path}/ftp/in && chown -R jollyae: {tmp_path}/a"
    second = f"jollyae init '{tmp_path}/my b' --failed '{tmp_path}/bad b'"
    assert steps == [first, f"{second} && chown -R jollyae: '{tmp_path}/my b' '{tmp_path}/bad b'"]
    assert f"{tmp_path}/ftp/in is not jollyae's" in told.err and "move files in and out" in told.err
    assert (
        told.err.count(
            f"the unit may write to all of {tmp_path}: only so can it rename between the places of {tmp_path}/"
        )
        == 2
    )


# --- a broker

BROKER = """
[queue.thumbs]
from = "amqp://worker@mq.example/thumbs"
from_password_file = "mq.password"
workdir = "/var/lib/thumbs"
exec = "thumbnail {}"
"""


def test_a_unit_for_a_queue_of_a_broker(call: Call, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may write in its workdir, has the password as a credential, waits for the network and may use it; what the
    environment says of another broker is not in it."""
    monkeypatch.setenv("JOLLYAE_FROM", "amqp://me:hunter2@elsewhere/q")
    monkeypatch.setenv("JOLLYAE_WORKDIR", "/elsewhere")
    config.write_text(CONFIG.format(more="") + BROKER)
    told = call("service", "systemd", "-c", config)
    assert told.code == 0, told.err
    assert "\nReadWritePaths=/srv/photos /srv/scans /var/lib/thumbs " in told.out
    secret = config.parent / "mq.password"
    assert f"\nLoadCredential={str(secret).strip('/').replace('/', '-')}:{secret}\n" in told.out
    assert "\nAfter=network-online.target\n" in told.out
    assert "\nRestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK\n" in told.out
    [start] = [line for line in told.out.splitlines() if line.startswith("ExecStart=")]
    assert start.endswith(f"run -c {config}") and "elsewhere" not in told.out + told.err
    steps = call("service", "systemd", "-c", config, "--install", "--directory", config.parent / "units").out
    assert "jollyae init /var/lib/thumbs && chown -R jollyae: /var/lib/thumbs\n" in steps


def test_a_broker_starts_nothing(call: Call, config: Path) -> None:
    """--path and cron are refused with the queue's name, what to use instead, and nothing printed; launchd keeps it
    running."""
    config.write_text(CONFIG.format(more="") + BROKER)
    for words, instead in ((("systemd", "--path"), "Leave --path out"), (("cron",), "jollyae service systemd")):
        told = call("service", words[0], "-c", config, *words[1:])
        assert told.code == 78 and not told.out
        assert "queue thumbs takes from a broker" in told.err and instead in told.err.replace("\n ", "")
    assert "<key>KeepAlive</key>" in call("service", "launchd", "-c", config).out


@pytest.mark.parametrize("words", [("--from", "amqp://h/q", "--workdir", "/w"), ("/srv/x", "--from", "sqs://q")])
def test_a_broker_on_the_command_line_is_for_a_file(call: Call, words: tuple[str, ...]) -> None:
    """A unit is for all to read."""
    told = call("service", "systemd", *words, "--exec", "true")
    assert told.code == 2 and "is for -c FILE here" in told.err and not told.out
