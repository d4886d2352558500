"""The small verbs on the queues of a configuration, and on several spools."""

import json
import os
import shlex
from pathlib import Path

import pytest

from jollyae.cli.run_options import KEYS
from jollyae.cli.web import _of_config
from jollyae.service.config import load

from .conftest import Call, Said


@pytest.fixture
def config(call: Call, tmp_path: Path) -> Path:
    """Two queues that are there, one of them with messages."""
    path = tmp_path / "jollyae.toml"
    path.write_text(
        f"""
        [notify.hook]
        url = "exec:true"
        [queue.scans]
        spool = "scans"
        to = "file://{tmp_path}/out"
        notify = ["hook"]
        [queue.logs]
        spool = "logs"
        exec = "true"
        """
    )
    for name in ("scans", "logs", "scans/notify/hook"):
        assert call("init", tmp_path / name).code == 0
    return path


def test_status_of_all_queues(call: Call, config: Path, tmp_path: Path) -> None:
    """A line for each queue and its messages, then all of those in trouble; --json a list."""
    (tmp_path / "scans" / "failed" / "bad").write_text("x")
    call("pause", tmp_path / "logs")
    said = call("status", "-c", config)
    lines = said.out.splitlines()
    assert said.code == 0 and lines[0].startswith("trouble  scans: no worker is running, 1 failed")
    assert any(" scans/hook: " in line for line in lines) and any(" logs: " in line for line in lines)
    assert f"scans, {tmp_path}/scans:" in lines and f"logs, {tmp_path}/logs:" not in lines
    seen = json.loads(call("status", "-c", config, "--json").out)
    assert [one["queue"] for one in seen] == ["scans", "logs"] and seen[0]["level"] == "trouble"
    assert [one["queue"] for one in json.loads(call("status", "-c", config, "--queue", "logs", "--json").out)] == [
        "logs"
    ]


def test_a_queue_of_several_processes_from_a_broker(call: Call, tmp_path: Path) -> None:
    """It is the spools of all its processes: those that should run are in trouble where none does; so are those of an
    earlier run where something was left. The small verbs take all of them, the dashboard shows each."""
    path = tmp_path / "jollyae.toml"
    path.write_text('[queue.photos]\nfrom = "sqs://photos"\nworkdir = "photos"\nprocesses = 2\nexec = "true"\n')
    for part in ("photos", "photos/0", "photos/1", "photos/2", "photos/3"):
        assert call("init", tmp_path / part).code == 0
    (tmp_path / "photos" / "2" / "incoming" / "left").write_text("x")
    seen = json.loads(call("status", "-c", path, "--json").out)
    assert [one["queue"] for one in seen] == [f"photos/{number}" for number in range(4)]
    assert [one["level"] for one in seen] == ["trouble", "trouble", "trouble", "ok"]
    assert f"{tmp_path}/photos, all together:" in call("status", "-c", path).out
    (tmp_path / "photos" / "1" / "failed" / "bad").write_text("x")
    assert call("retry", "-c", path, "--queue", "photos", "bad").out == "photos/1: 1 retried, 0 skipped\n"
    assert call("retry", "-c", path, "--queue", "photos", "--all").out.count("0 retried, 0 skipped") == 4
    assert call("pause", "-c", path).out.startswith("photos: paused")
    assert "paused by hand" in call("status", "-c", path).out
    assert call("drain", "-c", path).out.count("1 item to wait for") == 2
    found = _of_config(load(str(path), KEYS))
    assert [(one.name, one.is_wanted) for one in found] == [(f"photos/{number}", number < 2) for number in range(4)]


def test_status_of_a_queue_that_is_not_there(call: Call, config: Path, tmp_path: Path) -> None:
    """It is in trouble, and the others are told all the same."""
    (tmp_path / "logs").rename(tmp_path / "elsewhere")
    said = call("status", "-c", config)
    assert said.code == 0 and f"trouble  logs: {tmp_path}/logs is not a spool" in said.out
    assert "is its disk not mounted?" in said.out.replace("\n", " ") and " scans: " in said.out
    assert json.loads(call("status", "-c", config, "--json").out)[1]["level"] == "trouble"


def test_status_of_several_spools(call: Call, config: Path, tmp_path: Path) -> None:
    """A line for each; a place that is named goes with one only."""
    both = (tmp_path / "scans", tmp_path / "logs")
    said = call("status", *both)
    assert said.code == 0 and all(f" {one}: no worker" in said.out for one in both)
    assert [one["queue"] for one in json.loads(call("status", *both, "--json").out)] == [str(one) for one in both]
    assert call("status", *both, "--failed", tmp_path / "f").code == 2


def test_pause_and_resume_of_all_or_one(call: Call, config: Path, tmp_path: Path) -> None:
    """All queues of the file, or the one that is named, its messages' too; what is printed can be typed."""
    said = call("pause", "-c", config, "--queue", "logs", "--reason", "moving")
    assert said == (0, f"logs: paused. To go on: jollyae resume -c {config} --queue logs\n", "")
    assert (tmp_path / "logs" / ".paused").exists() and not (tmp_path / "scans" / ".paused").exists()
    assert call("pause", "-c", config).code == 0
    assert (tmp_path / "scans" / ".paused").exists()
    assert "moving" in (tmp_path / "logs" / ".paused").read_text()
    assert call("resume", "-c", config).out == "scans: resumed\nlogs: resumed\n"
    assert call("pause", "-c", config, "--queue", "scans/hook").code == 0
    assert (tmp_path / "scans" / "notify" / "hook" / ".paused").exists()


def test_a_queue_that_is_away_keeps_the_others_from_nothing(call: Call, config: Path, tmp_path: Path) -> None:
    """It is told, with exit code 2; the others are paused."""
    (tmp_path / "scans").rename(tmp_path / "elsewhere")
    said = call("pause", "-c", config)
    assert said.code == 2 and "scans: " in said.err and "is not a spool" in said.err
    assert (tmp_path / "logs" / ".paused").exists()


def test_retry_in_a_queue(call: Call, config: Path, tmp_path: Path) -> None:
    """--all of all queues; a name wants its queue."""
    for queue in ("scans", "logs"):
        (tmp_path / queue / "failed" / "bad").write_text("x")
    said = call("retry", "-c", config, "bad")
    assert said.code == 2 and "--queue NAME" in said.err and "scans, logs" in said.err
    assert call("retry", "-c", config, "--queue", "logs", "bad").out == "logs: 1 retried, 0 skipped\n"
    assert call("retry", "-c", config, "--all").out == "scans: 1 retried, 0 skipped\nlogs: 0 retried, 0 skipped\n"
    said = call("retry", "-c", config)
    assert said.code == 2 and f"jollyae status -c {config}" in said.err


def test_submit_into_a_queue(call: Call, config: Path, apart: Path) -> None:
    """By its name, wherever its incoming/ is; of several it must be said which."""
    (apart / "a").write_text("a")
    (apart / "b").write_text("b")
    assert call("submit", "-c", "j y.toml", "--queue", "scans", "a", "b") == (0, "a\nb\n", "")
    assert sorted(os.listdir(apart / "ftp" / "in box")) == ["a", "b"]
    assert call("submit", "-c", "j y.toml", "a", "--name", "c").code == 0, "there is only one"
    said = call("submit", "-c", config, "a")
    assert said.code == 2 and "say --queue NAME" in said.err and "scans, logs" in said.err
    said = call("submit", "-c", "j y.toml", "-")
    assert said.code == 2 and f"jollyae submit -c {shlex.quote(f'{apart}/j y.toml')} --queue scans - " in said.err
    assert call("submit", "a", "b").err.count("a is not a spool: it is a file") == 1


def test_log_of_all_queues(call: Call, config: Path, tmp_path: Path, file: Path) -> None:
    """Each line says whose it is, the oldest first."""
    for queue in ("logs", "scans"):
        call("submit", tmp_path / queue, file)
        assert call("run", tmp_path / queue, "--exec", "true", "--once", "--settle", "0").code == 0
    told = [json.loads(line) for line in call("log", "-c", config, "--json").out.splitlines()]
    assert [one["queue"] for one in told] == ["logs", "scans"]
    assert "scans: report.csv" in call("log", "-c", config, "-n", "1").out
    assert "queue" not in json.loads(call("log", tmp_path / "logs", "--json").out)


def test_log_wants_a_number_from_one(call: Call, spool: Path) -> None:
    """-n -1 and -n 0 are usage errors."""
    assert call("log", spool, "-n", "-1").code == call("log", spool, "-n", "0").code == 2


def test_drain_of_all_queues(call: Call, config: Path, tmp_path: Path, file: Path) -> None:
    """Each says what it waits for; nobody works: 75, with a command that can be typed."""
    call("submit", tmp_path / "logs", file)
    said = call("drain", "-c", config)
    assert said.code == 75 and said.out == "scans: nothing to wait for\nlogs: 1 item to wait for: 1 in incoming\n"
    assert [one["asked"] for one in json.loads(call("drain", "-c", config, "--json").out)] == [0, 1]
    said = call("drain", "--wait", "-c", config, "--timeout", "0")
    assert said.code == 75 and f"jollyae status -c {config} --queue logs" in said.err.replace("\n", " ")


def test_drain_says_why_it_waits(call: Call, spool: Path, file: Path) -> None:
    """Paused by hand: with the reason, at the beginning and at the end."""
    call("submit", spool, file)
    call("pause", spool, "--reason", "moving house")
    said = call("drain", "--wait", spool, "--timeout", "0")
    assert said.code == 75 and said.err.count("moving house") == 2 and f"jollyae status {spool}" in said.err


def test_a_timeout_wants_to_wait(call: Call, spool: Path) -> None:
    """--timeout without --wait would be forgotten in silence."""
    said = call("drain", spool, "--timeout", "4")
    assert said.code == 2 and "--wait" in said.err


@pytest.mark.parametrize("verb", ["status", "pause", "resume", "retry", "log", "drain"])
def test_what_cannot_be_meant(call: Call, config: Path, tmp_path: Path, verb: str) -> None:
    """A queue that is not in the file; a queue of a spool; nothing at all."""
    rest = ["--all"] if verb == "retry" else []
    said = call(verb, "-c", config, "--queue", "scan", *rest)
    assert said.code == 2 and "no queue 'scan'" in said.err and "scans, scans/hook, logs" in said.err
    if verb != "retry":  # there the first word is an item's name then
        assert _refused(call(verb, tmp_path / "logs", "--queue", "logs"))
        assert _refused(call(verb, tmp_path / "logs", "-c", config))


def _refused(said: Said) -> bool:
    return said.code == 2 and "say only one of them" in said.err


# --- one spool


def test_retry_takes_a_name_as_status_shows_it(call: Call, spool: Path) -> None:
    """'failed/poison.tif' is what status shows; an item that is really called so comes first."""
    (spool / "failed" / "poison.tif").write_text("x")
    assert call("retry", spool, "failed/poison.tif").out == "1 retried, 0 skipped\n"
    (spool / "failed" / "failed").mkdir()
    (spool / "failed" / "failed" / "a").write_text("inner")
    (spool / "failed" / "a").write_text("outer")
    assert call("retry", spool, "failed/a").code == 0
    assert (spool / "incoming" / "failed" / "a").read_text() == "inner" and (spool / "failed" / "a").exists()


def test_a_misspelt_spool_is_not_to_be_made(call: Call, spool: Path) -> None:
    """The one beside it is offered first; where there is none, that its disk may be away."""
    said = call("status", f"{spool}s")
    assert said.code == 2 and f"Did you mean {spool}?" in said.err.replace("\n  ", " ")
    said = call("pause", spool.parent / "quite-other")
    assert said.code == 2 and "is its disk not mounted?" in said.err and "jollyae init" in said.err


def test_a_second_pause_keeps_the_first_reason(call: Call, spool: Path) -> None:
    """Unless it gives one of its own."""
    call("pause", spool, "--reason", "moving house")
    said = call("pause", spool)
    assert said.code == 0 and "already: moving house" in said.out
    assert "moving house" in (spool / ".paused").read_text()
    call("pause", spool, "--reason", "fire")
    assert (spool / ".paused").read_text() == "fire\n"


def test_a_configuration_is_no_spool(call: Call, config: Path, tmp_path: Path) -> None:
    """Named as one, -c is what was meant; without a SPOOL or a configuration, that is what is missing."""
    for verb in ("run", "status", "check"):
        said = call(verb, config)
        assert said.code == 2 and f"Did you mean: -c {config}" in said.err
    said = call("run", "-c", config, "--to", "s3://b")
    assert said.code == 2 and f"here {config}, each queue has its own" in said.err.replace("\n  ", " ")


def test_nothing_to_run(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL alone: a SPOOL is missing, and no configuration is spoken of as if there were one."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    if Path("/etc/jollyae/jollyae.toml").exists():
        pytest.skip("this machine has a configuration")
    said = call("run", "--to", "s3://b")
    assert said.code == 2 and "name a SPOOL or -c FILE" in said.err and "each queue has its own" not in said.err


def test_check_of_one_queue(call: Call, config: Path, tmp_path: Path) -> None:
    """Only this one is tried, and whether its worker lives; a name that is none is told with those that there are."""
    (tmp_path / "scans" / "incoming").rmdir()
    (tmp_path / "scans").chmod(0o500)
    said = call("check", "-c", config, "--queue", "logs", "--no-network", "--json")
    found = [json.loads(line) for line in said.out.splitlines()]
    assert said.code == 0 and {one["queue"] for one in found} == {"", "logs"}
    said = call("check", "-c", config, "--queue", "logs", "--health")
    assert said.code == 1 and "logs" in said.out and "scans" not in said.out
    said = call("check", "-c", config, "--queue", "log")
    assert said.code == 2 and "has no queue 'log'" in said.err and "It has: scans, logs" in said.err


def test_a_dashboard_for_all_without_a_token(call: Call, tmp_path: Path) -> None:
    """check says that it will not start so."""
    path = tmp_path / "j.toml"
    queue = f'[queue.a]\nspool = "{tmp_path}/s"\nexec = "true"\n'
    path.write_text(queue + '[web]\nlisten = "0.0.0.0:18499"\n')
    said = call("check", "-c", path, "--no-network").out.replace("\n         ", " ")
    assert "no token_file and no certificate" in said
    path.write_text(queue + '[web]\nlisten = "127.0.0.1:18499"\n')
    assert "token_file" not in call("check", "-c", path, "--no-network").out


# --- places that are elsewhere, and names with spaces


@pytest.fixture
def apart(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration, named from its own directory, with a queue whose incoming/ and failed/ are elsewhere; an item
    of it has failed."""
    home = tmp_path / "it's a home"
    home.mkdir()
    (home / "j y.toml").write_text(
        """
        [queue.scans]
        spool = "my scans"
        incoming = "ftp/in box"
        failed = "bad box"
        exec = "false"
        idle_exit = 60
        """
    )
    monkeypatch.chdir(home)
    assert call("init", "my scans", "--incoming", "ftp/in box", "--failed", "bad box").code == 0
    (home / "bad box" / "a b'c").write_text("x")
    return home


def test_a_file_that_is_wrong_keeps_nobody_from_looking(call: Call, tmp_path: Path) -> None:
    """78, all mistakes, and the command that shows the spools that it names and that are there; pasted, it does."""
    for name in ("a", "my b", "w"):
        assert call("init", tmp_path / name).code == 0
    good = f'[queue.a]\nspool = "{tmp_path}/a"\nexec = "true"\n'
    config = tmp_path / "j.toml"
    for more in ("nonsense = 1\n", "[queue.b\n"):
        config.write_text(
            f"{good}[queue.b]\n  spool='my b'\n[queue.c]\nworkdir = 'w'\n[queue.d]\nspool = 'none'\n{more}"
        )
        said = call("status", "-c", config)
        assert said.code == 78 and f"{config} line" in said.err and not said.out
        line = said.err.partition("To look at it meanwhile: jollyae ")[2]
        words = shlex.split(line)
        assert words == ["status", f"{tmp_path}/a", f"{tmp_path}/my b", f"{tmp_path}/w"]
        assert call(*words).code == 0
    said = call("status", "-c", tmp_path / "nosuch.toml")
    assert said.code == 78 and "jollyae status SPOOL" in said.err


def test_what_is_printed_can_be_pasted(
    call: Call, apart: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The way out that pause, status and status --json print works as it stands, wherever the places are: with
    the queue's name where there is a configuration, else with the places."""
    for words in (["-c", "j y.toml"], ["my scans", "--incoming", "ftp/in box", "--failed", "bad box"]):
        paused = call("pause", *words).out
        shown = call("status", *words).out.splitlines()[0]
        seen = json.loads(call("status", *words, "--json").out)
        tried = (seen[0] if isinstance(seen, list) else seen)["try"]
        for line in (paused.partition("To go on: ")[2], shown.partition("To go on: ")[2], tried):
            assert (apart / "my scans" / ".paused").exists()
            assert call(*shlex.split(line)[1:]).out.endswith("resumed\n"), line
            call("pause", *words)
        call("resume", *words)
    words = ["-c", "j y.toml"]
    _, way_out, *_ = call("status", *words).out.splitlines()
    monkeypatch.chdir(tmp_path)
    assert way_out.strip() == f"jollyae retry -c {shlex.quote(f'{apart}/j y.toml')} --queue scans --all"
    assert call(*shlex.split(way_out)[1:]).out == "scans: 1 retried, 0 skipped\n"
    assert (apart / "ftp" / "in box" / "a b'c").exists()


def test_the_way_out_is_told_once(call: Call, config: Path, tmp_path: Path) -> None:
    """Below the sentence, unless it is in it already, or is only to look here."""
    (tmp_path / "scans" / "failed" / "bad").write_text("x")
    call("pause", tmp_path / "logs")
    lines = call("status", "-c", config).out.splitlines()
    assert f"         jollyae run -c {config}" not in lines  # in the sentence
    assert sum("jollyae resume" in line for line in lines) == 1
    lines = call("status", tmp_path / "scans").out.splitlines()
    assert lines[1] == f"         jollyae retry {tmp_path}/scans --all"


def test_a_place_that_is_elsewhere_is_not_told_as_empty(call: Call, apart: Path) -> None:
    """status says which place it does not see, retry refuses; where incoming/ is elsewhere, to make another one here is
    the last that is offered."""
    assert call("status", "my scans", "--incoming", "ftp/in box").out.count("there is no failed/: where it is") == 1
    said = call("retry", "my scans", "--incoming", "ftp/in box", "--all")
    assert said.code == 2 and f"there is no {apart}/my scans/failed" in said.err and "--failed DIR" in said.err
    said = call("resume", "my scans")
    assert said.code == 2 and "Is its incoming/ elsewhere? Then say --incoming DIR, or -c FILE." in said.err
    said = call("status", "my scans", "--incoming", "no box", "--failed", "bad box")
    assert said.code == 2 and f"there is no {apart}/no box" in said.err


def test_the_next_command_has_the_places(call: Call, apart: Path) -> None:
    """After init, and where stdin has no name."""
    words = "'my scans' --incoming 'ftp/in box'"
    said = call("init", "my scans", "--incoming", "ftp/in box").out
    assert f"Next: jollyae run {words} --to s3://BUCKET\n" in said
    assert f"jollyae submit {words} - --name NAME" in call("submit", "my scans", "-", "--incoming", "ftp/in box").err


def test_the_queue_of_messages_without_a_worker(call: Call, config: Path, tmp_path: Path) -> None:
    """It is in trouble as its queue is, for a worker should run; one that the file names no more is not."""
    assert call("init", tmp_path / "scans/notify/gone").code == 0
    lines = call("status", "-c", config).out.splitlines()
    assert any(line.startswith("trouble  scans/hook: no worker is running: start it") for line in lines)
    assert any(line.startswith("ok       scans/gone: no worker is running") for line in lines)


def test_of_many_troubles_it_is_said_that_they_are_more(call: Call, spool: Path) -> None:
    """Ten are told, of how many."""
    for number in range(12):
        (spool / "incoming" / f"bad-{number}").write_text("x")
    assert call("run", spool, "--exec", "false", "--once", "--settle", "0").code == 1
    said = call("status", spool).out
    assert "latest troubles, the newest 10 of 12:" in said, said
