"""The configuration file: what it means, and what is told of one that is wrong."""

import os
import re
import tomllib
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jollyae.cli.main import run as cli
from jollyae.cli.options import pair
from jollyae.cli.run_options import KEYS
from jollyae.service import config, notifications
from jollyae.service.config import NOT_KEYS, Config, Log, Web, find, load
from jollyae.service.observing.exporter import Wanted
from jollyae.service.settings import ConfigurationError, Settings
from jollyae.service.toml import Lines
from jollyae.spool.places import Places
from tests import configuration_page

ROOT = Path(__file__).parents[2]
GOOD = '[queue.a]\nspool = "/s"\nto = "file:///d"\n'


def loaded(tmp_path: Path, text: str | bytes) -> Config:
    """That text, loaded from a file."""
    path = tmp_path / "jollyae.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load(path, KEYS)


def wrong(tmp_path: Path, text: str | bytes) -> list[str]:
    """What is wrong with that text, without the file's name."""
    with pytest.raises(ConfigurationError) as caught:
        loaded(tmp_path, text)
    lines = caught.value.message.splitlines()
    assert all(line.startswith(f"{tmp_path}/jollyae.toml") for line in lines), lines
    return [line.removeprefix(f"{tmp_path}/jollyae.toml ") for line in lines]


def queue_with(line: str) -> str:
    """A good queue with one line more, which is the fourth."""
    return GOOD + line + "\n"


# --- what it means


def test_the_readmes_configuration_loads(tmp_path: Path) -> None:
    """What the README shows of a configuration file is one."""
    path = tmp_path / "jollyae.toml"
    path.write_text((ROOT / "README.md").read_text().partition("```toml\n")[2].partition("```")[0])
    assert [queue.name for queue in load(path, KEYS).queues if "/" not in queue.name] == ["photos", "scans"]


def test_the_example_is_right() -> None:
    """docs/jollyae.toml loads, and says what its comments say."""
    found = load(ROOT / "docs" / "jollyae.toml", KEYS)
    photos, logs, scans = found.queues
    assert (photos.name, photos.settings.to, photos.settings.exclude) == (
        "photos",
        "s3://example-photos/camera",
        ("*.tmp.jpg", "drafts/*"),
    )
    assert photos.settings.metadata == (("source", "camera"),)
    assert (logs.settings.grace, logs.settings.on_done) == (60.0, "delete")
    assert scans.places == Places.under("/srv/scans", incoming="/srv/ftp/scans")
    assert (found.metrics, found.web) == (Wanted(addr="127.0.0.1:9464"), Web(listen="127.0.0.1:8420"))
    assert found.log == Log(format="text", level="notice")


def test_a_value_is_read_as_the_command_line_reads_it(tmp_path: Path) -> None:
    """Numbers with and without quotes, units, lists, tables and switches."""
    text = """
settle = 0.5
grace = "1m30s"
concurrency = 7
prune_empty = 90
bandwidth = "08:00,512k 23:00,off"
head_first = true
tag = { a = "1", "b c" = "=" }
include = ["*.jpg"]
"""
    settings = loaded(tmp_path, queue_with(text).replace("file:///d", "s3://b")).queues[0].settings
    assert (settings.settle, settings.grace, settings.concurrency, settings.prune_empty) == (0.5, 90.0, 7, 90.0)
    assert settings.tag == (("a", "1"), ("b c", "="))
    assert (settings.head_first, settings.include, settings.bandwidth) == (True, ("*.jpg",), "08:00,512k 23:00,off")
    assert loaded(tmp_path, GOOD).queues[0].settings == Settings(to="file:///d")


def test_relative_paths_are_below_the_files_directory(tmp_path: Path) -> None:
    """Wherever it is loaded from."""
    text = '[metrics]\nfile = "x.prom"\n[queue.a]\nspool = "in/it"\nfailed = "../f"\nto = "s3://b"\nca_bundle = "c.pem"'
    found = loaded(tmp_path, text)
    assert found.queues[0].places == Places.under(tmp_path / "in/it", failed=tmp_path / "../f")
    assert found.queues[0].settings.ca_bundle == str(tmp_path / "c.pem")
    assert found.metrics.file == str(tmp_path / "x.prom")


def test_targets_of_notifications(tmp_path: Path) -> None:
    """A queue names them, or gives their URL; each is a queue of its own beside the one it tells about."""
    text = """
[notify.hook]
url = "https://hooks.example/x"
secret_file = "hook.secret"
allow_internal = true
"""
    found = loaded(tmp_path, text + queue_with('notify = ["hook", "exec:/bin/true {}"]'))
    named, bare = found.queues[0].settings.targets()
    assert (named.name, named.url) == ("hook", "https://hooks.example/x")
    assert (named.secret_file, named.allow_internal) == (str(tmp_path / "hook.secret"), True)
    assert bare.url == "exec:/bin/true {}"
    first, *_ = notifications.queues(found.queues[0])
    assert (first.name, first.about, first.places.control) == ("a/hook", "a", Path("/s/notify/hook"))
    told = wrong(tmp_path, text + queue_with('notify = ["hok"]'))
    assert told == ["line 9: notify: there is no [notify.hok]. Did you mean: hook"]
    assert wrong(tmp_path, "[notify.x]\n" + GOOD) == ["line 1: [notify.x] has no url"]
    for url in ("nonsense", "ftp://x"):
        [one] = wrong(tmp_path, f"[notify.x]\nurl = '{url}'\n" + queue_with('notify = ["x"]'))
        assert one.startswith("line 2: url: it must be one of https://")
        also = wrong(tmp_path, f"[notify.x]\nurl = '{url}'\n" + queue_with('notify = ["x"]\nnonsense = 1'))
        assert [line.partition(":")[0] for line in also] == ["line 2", "line 7"]
    told = wrong(tmp_path, text + queue_with('notify = ["hook", "ftp://me/secret"]'))
    assert told[0].startswith("line 9: notify: number 2, ftp:…: it must be one of") and "secret" not in told[0]
    assert wrong(tmp_path, "[notify.x]\nurl = 'sqs://q'\nendpoint_url = 'host:1'\n" + GOOD) == [
        "line 3: endpoint_url: 'host:1': it must begin with http:// or https://"
    ]
    assert wrong(tmp_path, "[notify.x]\nurl = 'exec:x'\nsecret = 'x'\n" + GOOD)[0].startswith("line 3: ")


@pytest.mark.parametrize(
    ("to", "line", "said"),
    [
        ('to = "s3://b"', 'endpoint_url = "127.0.0.1:9000"', "endpoint_url: '127.0.0.1:9000': it must begin with http"),
        ('to = "s3://b"', "exec_timeout = 5", "exec_timeout does not apply to s3:// destinations. Leave it out."),
        ('to = "file:///d"', 'acl = "private"', "acl does not apply to file:// destinations. Leave it out."),
        ('to = "file:///d"', "head_first = true", "head_first does not apply to file:// destinations. Leave it out."),
        ('to = "file:///d"', "exec_timeout = 5", "exec_timeout does not apply to file:// destinations. Leave it out."),
        ('to = "file:///d"', "tag = { a = 'b' }", "tag does not apply to file:// destinations. Leave it out."),
        ('to = "gs://b"', "tag = { a = 'b' }", "tag does not apply to gs:// destinations. Leave it out."),
        ('to = "az://c"', 'acl = "private"', "acl does not apply to az:// destinations. Leave it out."),
        ('exec = "true"', 'storage_class = "GLACIER"', "storage_class does not apply to exec. Leave it out."),
        ('call = "json:loads"', "exec_timeout = 5", "exec_timeout does not apply to call. Leave it out."),
        ('to = "file:///d"', 'min_free = "lots"', "min_free: 'lots' is no amount of room: write 5%, 512M, 10G"),
    ],
)
def test_what_a_destination_cannot_use(tmp_path: Path, to: str, line: str, said: str) -> None:
    """It is told with its line, not left out in silence."""
    [told] = wrong(tmp_path, f'[queue.a]\nspool = "/s"\n{to}\n{line}\n')
    assert told.startswith(f"line 4: {said}")


def test_what_only_says_the_default_is_no_mistake(tmp_path: Path) -> None:
    """Nor what manifests of copies can use."""
    for lines in (
        'head_first = false\nchecksum_algorithm = "auto"\nmetadata = {}',
        'manifest = "s3://b"\nsse = "AES256"',
    ):
        found = loaded(tmp_path, GOOD + lines + "\n").queues[0]
        found.settings.refuse_what_does_not_apply()


def test_the_command_line_is_refused_as_the_file_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """run, check and service, with the option's own name."""
    to = ("--to", f"file://{tmp_path}/out", "--acl", "private")
    for words in (("run", tmp_path / "s"), ("check", tmp_path / "s"), ("service", "systemd", tmp_path / "s")):
        assert cli([*map(str, words), *to]) == 78
        assert "--acl does not apply to file:// destinations. Leave it out." in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def test_every_option_of_run_is_a_key() -> None:
    """But for those that are listed, with the reason; and all settings can be said."""
    options = {option.dest for option in KEYS}
    settable = {field.name for field in fields(Settings)} - {"share", "target", "source"} | {"from"}
    assert settable - options == set(), "a setting has no option"
    assert options - settable - NOT_KEYS.keys() == {"workdir"}, "an option is no key, and no reason is given"


def test_the_table_of_keys_is_up_to_date() -> None:
    """docs/CONFIGURATION.md has a row for each key; if this fails: python -m tests.configuration_page"""
    text = configuration_page.PAGE.read_text()
    assert text == configuration_page.page(text)
    tables = {
        "metrics": {field.name for field in fields(Wanted)},
        "log": {field.name for field in fields(Log)},
        "web": {field.name for field in fields(Web)},
    }
    for name, keys in tables.items():
        section = text.partition(f"## [{name}]")[2].partition("\n## ")[0]
        rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
        assert set(re.findall(r"`(\w+)`", " ".join(rows))) == keys


def test_a_queue_that_takes_from_a_broker(tmp_path: Path) -> None:
    """Its workdir is its spool, whose copies are removed when they are done unless the queue says otherwise."""
    text = """
[queue.a]
from = "amqp://worker@mq.example/thumbnails"
from_password_file = "mq-password"
workdir = "work"
prefetch = 7
prefetch_bytes = "2G"
exec = "true {}"
[queue.b]
from = "sqs://uploads"
workdir = "/b"
on_done = "keep"
to = "s3://elsewhere"
"""
    first, second = loaded(tmp_path, text).queues
    assert first.places == Places.under(tmp_path / "work") and second.places == Places.under("/b")
    assert first.settings.source == "amqp://worker@mq.example/thumbnails"
    assert first.settings.from_password_file == str(tmp_path / "mq-password")
    assert (first.settings.prefetch, first.settings.prefetch_bytes) == (7, 2 << 30)
    assert first.settings.deletes and not second.settings.deletes
    assert not loaded(tmp_path, GOOD).queues[0].settings.deletes


# --- which file


def test_which_file_is_meant(tmp_path: Path) -> None:
    """The one that is named; else the user's; else, where there is none, a sentence with the places."""
    mine = tmp_path / "xdg" / "jollyae" / "jollyae.toml"
    here = {"XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    with pytest.raises(ConfigurationError, match=re.escape(f"looked for {mine}, /etc/jollyae/jollyae.toml")):
        find(here)
    mine.parent.mkdir(parents=True)
    mine.touch()
    assert find(here) == mine
    assert find(here | {"JOLLYAE_CONFIG": "/x"}) == Path("/x")


# --- what is wrong


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('bandwith = "1M"', "unknown key 'bandwith'. Did you mean: bandwidth"),
        ("on-done = 1", "unknown key 'on-done'. Did you mean: on_done"),
        ("zzzz = 1", "unknown key 'zzzz'"),
        ("once = true", "once: it is an option only: jollyae run -c FILE --once"),
        ('on_done = "delet"', "on_done: 'delet' is none of keep, delete. Did you mean: delete"),
        ("on_done = 1", 'on_done: it is a number: write one of "keep", "delete"'),
        ('grace = "5x"', "grace: '5x' is no duration: write 90, 10m, 2h, 7d"),
        ("grace = -5", "grace: '-5' is no duration: write 90, 10m, 2h, 7d"),
        ("on_done = true", 'on_done: it is true: write one of "keep", "delete"'),
        ("grace = true", "grace: it is true, and must be a value"),
        ("grace = 1979-05-27", "grace: it is a date or time, not text"),
        ("concurrency = 0", "concurrency: '0' must be a whole number, 1 or more"),
        ("concurrency = 1.5", "concurrency: '1.5' must be a whole number, 1 or more"),
        ('head_first = "true"', "head_first: it is text: write true or false, without quotes"),
        ('include = "*.jpg"', 'include: it is text, not a list: write ["*.jpg"]'),
        ('include = { a = "b" }', "include: it is a table: write a list"),
        ('metadata = ["a=b"]', 'metadata: it is a list, not a table: write { name = "value" }'),
        ('metadata = "a=b"', 'metadata: it is text, not a table: write { name = "value" }'),
        ("metadata = { a = 1 }", 'metadata: it is a number, not text: write "1"'),
        ('key = ["a"]', "key: it is a list, not text"),
        ('key = "a\\u0000"', "key: it has a NUL character"),
        ('exec = "true"', "both to and exec: say only one of them"),
        ('originals = "file:///d"', "originals goes with album"),
        ('ca_bundle = "~/x"', "ca_bundle: '~/x' is no path: nothing is replaced in this file, so write it out"),
        ('failed = "$HOME/x"', "failed: '$HOME/x' is no path: nothing is replaced in this file, so write it out"),
        ("concurrency = 2000000", "concurrency: '2000000' is more than can be: write 1 to 10,000"),
        ("processes = 1000", "processes: '1000' is more than can be: write 1 to 256"),
        ("min_free = 5", 'min_free: it is a number, not text: write "5%" or "5G"'),
        ('key = "{nmae}"', "key: key template '{nmae}': there is no field {nmae}"),
        ('bandwidth = "fast"', "bandwidth: 'fast' is no size: write 512k, 10M, 1.5G"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    """The line, the key, what is wrong with it, and what might have been meant."""
    (told,) = wrong(tmp_path, queue_with(line))
    assert told.startswith(f"line 4: {said}")


@pytest.mark.parametrize(
    "key", ["secret", "password", "aws_secret_access_key", "access_key_id", "sessionToken", "apikey"]
)
def test_secrets_are_refused(tmp_path: Path, key: str) -> None:
    """Under whatever name, and in the URL of a store; and what was written there is not repeated."""
    said = "secrets do not belong in this file: use a key …_file, or the environment"
    assert wrong(tmp_path, queue_with(f'{key} = "hunter2"')) == [f"line 4: {key}: {said}"]
    (told,) = wrong(tmp_path, queue_with('endpoint_url = "https://me:hunter2@store.example"'))
    assert "a password does not belong in this file" in told and "hunter2" not in told


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", ["line 1: there is no queue: write [queue.NAME] with spool = … and to = …"]),
        (b"[queue.a]\n", ["line 1: [queue.a] has no spool", "line 1: [queue.a] does not say where to deliver"]),
        (b'[queue]\nspool = "/s"\n', ["line 2: each queue has a name: write [queue.NAME], and spool below it"]),
        (b"queue = 1", ["line 1: each queue has a name: write [queue.NAME]"]),
        (b"[[queue]]\na = 1", ["line 1: each queue has a name: write [queue.NAME]"]),
        (b'[queue."a/b"]\n', ["line 1: 'a/b' cannot be a name: letters, digits and . _ -, at most 64"]),
        (b"\n[queues.a]\n", ["line 2: unknown table 'queues'. Did you mean: queue"]),
        (b"metrics = 5", ["line 1: metrics is a table: write [metrics]"]),
        (b'[metrics]\naddr = "x"', ["line 2: addr: 'x' must be HOST:PORT, such as 127.0.0.1:9464"]),
        (b'[log]\nlevel = "loud"', ["line 2: level: 'loud' is none of error, warning, notice, info, debug"]),
        (b"[web]\nhosts = 'a'", ['line 2: hosts: it is text: write a list, ["a"]']),
        (b'[queue.a]\nto = "x\n', ["line 2, column 8: illegal character"]),
        (b"[queue.a]\nx = 1\nx = 2\n", ["line 3, column 6: cannot overwrite a value"]),
        (b"[queue.a\n", ["line 1, column 9: expected ']'"]),
        (b"a = [", ["line 1: invalid value"]),
        (b"# caf\xe9", ["line 1: not UTF-8"]),
        (b'[queue.a]\nspool = "/s"\nalbum = "sqlite:///a"', ["line 3: album needs originals = URL"]),
        (b'[queue.a]\nspool = "/s"\nexec = "./x {}"', ["line 3: exec: ./x is a relative path"]),
        (b'[queue.a]\nspool = "/s"\nexec = ""', ["line 3: exec: the command is empty"]),
        (b'[queue.a]\nspool = "/s"\nexec = "true"\ncompress = "gzip"', ["line 4: compress goes with to"]),
        (b'[queue.a]\nspool = "/s"\nto = "http://x"', ["line 3: to: cannot deliver to 'http://x': write one of s3://"]),
        (b'[queue.a]\nspool = "/s"\nto = "s3://"', ["line 3: to: 's3://' names no bucket"]),
        (b'[queue.a]\nspool = "/s"\nto = "file://x/y"', ["line 3: to: 'file://x/y' names no directory"]),
    ],
    ids=lambda value: value.decode("latin-1") if isinstance(value, bytes) else "",
)
def test_a_file_that_cannot_be(tmp_path: Path, text: bytes, said: Sequence[str]) -> None:
    """Each is told with its line, and none as a traceback."""
    found = wrong(tmp_path, text)
    assert len(found) == len(said)
    for line, beginning in zip(found, said, strict=True):
        assert line.startswith(beginning)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """In the order of their lines, those in nested and in later tables too."""
    text = """
[log]
levle = "info"

[queue.a]
spool = "/a"
to = "s3://b"
metadata = { x = "y" }
key = '''
{name}'''
include = [
  "a",
]
on-done = "keep"

[queue.b]
spool = "/b"
"""
    assert [line.partition(":")[0] for line in wrong(tmp_path, text)] == ["line 3", "line 14", "line 16"]


def test_two_queues_on_one_spool_are_refused(tmp_path: Path) -> None:
    """By any path to it, and where they share a place only; a chain is none of it."""
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    two = '[queue.a]\nspool = "there"\nto = "s3://b"\n[queue.b]\nspool = "{}"\nto = "s3://b"\n{}\n'
    expected = f"line 4: queues a and b both have {tmp_path}/there/incoming as incoming"
    assert wrong(tmp_path, two.format("link", 'include = ["*.b"]'))[0].startswith(expected)
    assert "as deferred" in wrong(tmp_path, two.format("x", 'deferred = "there/deferred"'))[0]
    assert len(loaded(tmp_path, two.format("x", 'incoming = "there/finished"')).queues) == 2


def broker_queue(*lines: str) -> str:
    """A queue that takes from a broker, with lines more, of which the first is the fifth."""
    return "\n".join(["[queue.a]", 'from = "amqp://me@mq/t"', 'workdir = "w"', 'exec = "true"', *lines, ""])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (broker_queue('spool = "s"'), "line 5: both from and spool: items land there, or come from a broker"),
        (broker_queue('failed = "s"'), "line 5: failed does not go with from: all places are below workdir"),
        (broker_queue("prefetch_bytes = 100"), 'line 5: prefetch_bytes: it is a number, not text: write "100M" or'),
        (broker_queue("prefetch = 0"), "line 5: prefetch: '0' must be a whole number, 1 or more"),
        (broker_queue('from_password = "x"'), "line 5: unknown key 'from_password'. Did you mean: from_password_file"),
        (broker_queue().replace('workdir = "w"', ""), "line 2: from needs workdir = DIR"),
        (
            broker_queue().replace("from", "#"),
            "line 3: workdir goes with from = URL, a broker's queue: add that, or name",
        ),
        (queue_with('workdir = "w"'), "line 4: workdir goes with from = URL, a broker's queue: add that, or leave it"),
        (queue_with("prefetch = 5"), "line 4: prefetch goes with from = URL"),
        (queue_with('prefetch_bytes = "5M"'), "line 4: prefetch_bytes goes with from = URL"),
        (queue_with('from_region = "eu-west-1"'), "line 4: from_region goes with from = URL"),
        (queue_with('from_profile = "other"'), "line 4: from_profile goes with from = URL"),
        (queue_with('from_endpoint_url = "http://x"'), "line 4: from_endpoint_url goes with from = URL"),
        (queue_with('from_password_file = "x"'), "line 4: from_password_file goes with from = URL"),
        (broker_queue().replace("amqp:", "http:"), "line 2: from: nothing can be taken from there: write amqp://"),
        (broker_queue().replace("mq/t", "mq"), "line 2: from: a queue is amqp://"),
        (
            broker_queue().replace("mq/t", "mq/t?hartbeat=1"),
            "line 2: from: the URL of a broker has no option 'hartbeat'",
        ),
        (broker_queue().replace("amqp://me@mq/t", "sqs://"), "line 2: from: nothing can be taken from there"),
        (
            broker_queue('from_password_file = "p"').replace("amqp://me@mq", "sqs:/"),
            "line 5: from_password_file is for amqp://: sqs:// has no password",
        ),
    ],
)
def test_a_mistake_about_a_broker_is_told_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    """What goes with what, and what a queue can be called."""
    (told,) = wrong(tmp_path, text)
    assert told.startswith(said)


@pytest.mark.parametrize("password", ["hunter2", "hun/ter2", "hun@ter2", "hunter2?x"])
def test_a_brokers_password_is_for_a_file(tmp_path: Path, password: str) -> None:
    """It is refused in the URL and not repeated, and what to write instead is said where the URL can be read at all."""
    (told,) = wrong(tmp_path, broker_queue().replace("me@", f"me:{password}@"))
    assert told.startswith("line 2: from: ") and "hun" not in told
    assert "/" in password or "?" in password or told.endswith("and from_password_file = FILE")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("amqp://me@mq/t", "amqp://you@mq:5672/t"),
        ("amqp://mq/t", "amqps://MQ/t?heartbeat=5"),
        ("amqp://mq/v/t", "amqp://mq/v/t"),
        ("sqs://t", "sqs://t/"),
    ],
)
def test_two_queues_from_one_are_refused(tmp_path: Path, one: str, other: str) -> None:
    """Each would take the other's messages; the line is that of the second's from."""
    two = f'[queue.a]\nfrom = "{one}"\nworkdir = "a"\nexec = "true"\n[queue.b]\nworkdir = "b"\nfrom = "{other}"\n'
    (told,) = wrong(tmp_path, two + 'to = "s3://b"\n')
    assert told.startswith("line 7: from: queue a takes from there too, and each message comes to one of them only")


@pytest.mark.parametrize("other", ["amqp://mq:5673/t", "amqp://mq/v/t", "amqp://mq/u", "amqp://elsewhere/t", "sqs://t"])
def test_other_queues_of_a_broker_are_others(tmp_path: Path, other: str) -> None:
    """Another port, another virtual host, another name."""
    text = broker_queue() + f'[queue.b]\nfrom = "{other}"\nworkdir = "b"\nexec = "true"\n'
    assert len(loaded(tmp_path, text).queues) == 2


def test_workdirs_are_spools(tmp_path: Path) -> None:
    """Two queues in one are refused, also in the directory of one of several processes, or within its incoming/."""
    two = broker_queue("processes = 2") + '[queue.b]\nspool = "{}"\nto = "s3://b"\n'
    (told,) = wrong(tmp_path, two.format("w"))
    assert told.startswith(f"line 6: queues a and b both have {tmp_path}/w/incoming as incoming")
    (told,) = wrong(tmp_path, two.format("w/1"))
    assert told.startswith(f"line 6: queues a and b both have {tmp_path}/w/1/incoming as incoming")
    assert "lies in" in wrong(tmp_path, two.format("w/1/incoming/x"))[0]
    assert len(loaded(tmp_path, two.format("w/2")).queues) == 2


def test_what_takes_from_a_broker_has_no_end(tmp_path: Path) -> None:
    """--once is refused with the queue's name and its line; a file of spools is not."""
    found = loaded(tmp_path, GOOD + broker_queue().replace("queue.a", "queue.thumbs"))
    with pytest.raises(
        ConfigurationError, match=r"line 4: queue thumbs: it takes from a broker.*--once needs"
    ) as caught:
        found.refuse_endless("--once")
    assert "idle_exit" in caught.value.hint
    loaded(tmp_path, GOOD).refuse_endless("--once")


def test_two_queues_on_one_spool_are_told_with_the_rest(tmp_path: Path) -> None:
    """Whatever else is wrong with them."""
    text = '[queue.a]\nspool = "s"\nto = "http://x"\n[queue.b]\nspool = "s"\nexec = ""\n'
    told = wrong(tmp_path, text)
    assert [line.partition(":")[0] for line in told] == ["line 3", "line 4", "line 6"]
    assert "queues a and b both have" in told[1]


def test_a_queue_within_another_is_refused(tmp_path: Path) -> None:
    """What lies in the one's incoming/ would be taken by the other; not what is below a dot directory there."""
    two = '[queue.a]\nspool = "a"\nto = "s3://b"\n[queue.b]\nspool = "{}"\nto = "s3://b"\n'
    inner = tmp_path / "a/incoming/b"
    (told,) = wrong(tmp_path, two.format("a/incoming/b"))
    assert told.startswith(f"line 4: {inner}/incoming of queue b lies in {tmp_path}/a/incoming of queue a")
    assert len(loaded(tmp_path, two.format("a/incoming/.b")).queues) == 2
    assert len(loaded(tmp_path, two.format("a/incoming-too")).queues) == 2


def test_what_goes_wrong_with_a_queue_says_where_it_stands(tmp_path: Path) -> None:
    """A fault that shows only when it is tried names the file, the line and the queue."""
    found = loaded(tmp_path, "\n" + GOOD)
    error = found.blame(found.queues[0], ConfigurationError("no", "Do."))
    assert (error.message, error.hint) == (f"{tmp_path}/jollyae.toml line 2: queue a: no", "Do.")


# --- lines

_KEYS = st.text("abc", min_size=1, max_size=2)
_VALUES = st.sampled_from(
    ["1", '"x"', "[1,\n 2,\n]", '"""\n[no]\na = 1\n"""', "{ z = 1 }", "'#'", "1 # [x]", '"\\u2028"']
)


@given(st.dictionaries(_KEYS, st.dictionaries(_KEYS, _VALUES, max_size=3), max_size=3))
def test_each_key_is_found_in_its_line(tables: dict[str, dict[str, str]]) -> None:
    """Whatever stands between them."""
    text = ""
    expected: dict[tuple[str, ...], int] = {}
    for name, table in tables.items():
        text += "\n# [comment]\n"
        expected[(name,)] = text.count("\n") + 1
        text += f"[{name}]\n"
        for key, value in table.items():
            expected[name, key] = text.count("\n") + 1
            text += f"{key} = {value}\n"
    tomllib.loads(text)
    lines = Lines(text)
    assert {path: lines[path] for path in expected} == expected


def test_the_files_that_are_looked_for_are_those_of_the_docs() -> None:
    """CONFIGURATION.md names the variable and both places."""
    text = configuration_page.PAGE.read_text()
    assert config.VARIABLE in text and "$XDG_CONFIG_HOME/jollyae/jollyae.toml" in text
    assert os.path.join("/etc", "jollyae", "jollyae.toml") in text


def test_a_key_value_pair_is_a_table() -> None:
    """The parser of pairs is what makes a table of a key; all that have it are documented so."""
    pairs = [option.dest for option in KEYS if option.parse is pair]
    assert pairs == ["metadata", "tag"]
