"""The small verbs, on real directories."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.helpers import as_nobody

from .conftest import Call


def test_init_makes_the_places_and_tells_the_next_step(call: Call, tmp_path: Path) -> None:
    """init makes the places, private unless told otherwise, and prints the next command."""
    said = call("init", tmp_path / "s", "--mode", "1733")
    assert said.code == 0 and "jollyae run" in said.out
    assert (tmp_path / "s" / "incoming").stat().st_mode & 0o7777 == 0o1733
    assert (tmp_path / "s" / "finished").stat().st_mode & 0o7777 == 0o700


def test_init_again_harms_nothing(call: Call, spool: Path, file: Path) -> None:
    """init on a spool that is there leaves what is in it."""
    call("submit", spool, file)
    assert call("init", spool).code == 0
    assert (spool / "incoming" / "report.csv").exists()


def test_submit_copies_in_and_never_overwrites(call: Call, spool: Path, file: Path) -> None:
    """submit queues the file under its name; the same name again is exit code 1 and changes nothing."""
    assert call("submit", spool, file) == (0, "report.csv\n", "")
    file.write_text("other")
    said = call("submit", spool, file)
    assert said.code == 1 and "report.csv" in said.err
    assert (spool / "incoming" / "report.csv").read_text() == "a,b\n"


def test_submit_refuses_a_name_that_would_be_ignored(call: Call, spool: Path, file: Path) -> None:
    """A name that no worker would take is exit code 2, and nothing is left behind."""
    assert call("submit", spool, file, "--name", "report.part").code == 2
    assert call("submit", spool, file, "--name", "../up").code == 2
    assert list((spool / "incoming").iterdir()) == list((spool / "tmp").iterdir()) == []


def test_submit_goes_on_with_the_others(call: Call, spool: Path, file: Path) -> None:
    """A file that cannot be read is named; the others are submitted; exit code 1."""
    said = call("submit", spool, "/nowhere/x", file)
    assert said.code == 1 and "/nowhere/x" in said.err
    assert (spool / "incoming" / "report.csv").exists()


def test_submit_reads_stdin(spool: Path) -> None:
    """- reads standard input; without --name it is a usage error."""
    command = [sys.executable, "-m", "jollyae", "submit", str(spool), "-"]
    assert subprocess.run(command, input=b"x", capture_output=True).returncode == 2
    assert subprocess.run([*command, "--name", "a/b"], input=b"piped", capture_output=True).returncode == 0
    assert (spool / "incoming" / "a" / "b").read_bytes() == b"piped"


def test_status_says_what_lies_where(call: Call, spool: Path, file: Path) -> None:
    """status counts places without a worker, and says that none is running."""
    call("submit", spool, file)
    (spool / "incoming" / ".hidden").touch()
    said = call("status", spool)
    assert "no worker is running, 1 item to deliver" in said.out and "1 ignored" in said.out
    seen = json.loads(call("status", spool, "--json").out)
    assert seen["places"]["incoming"]["items"] == 1 and seen["places"]["incoming"]["bytes"] == 4
    assert seen["ignored"] == 1 and seen["workers"] == []


def test_a_collision_fails_with_its_reason_and_is_retried(call: Call, spool: Path, file: Path, tmp_path: Path) -> None:
    """A refused collision is exit code 1; status tells why; retry puts the item back under its name."""
    to = f"file://{tmp_path}/out"
    call("submit", spool, file)
    assert call("run", spool, "--to", to, "--once", "--settle", "0").code == 0
    file.write_text("the second day")
    call("submit", spool, file)
    said = call("run", spool, "--to", to, "--once", "--settle", "0")
    assert said.code == 1 and "exists with other content" in said.err
    assert "exists with other content" in call("status", spool).out
    assert call("retry", spool, "report.csv").out == "1 retried, 0 skipped\n"
    assert (spool / "incoming" / "report.csv").exists()
    assert call("run", spool, "--to", to, "--once", "--settle", "0", "--if-exists", "keep-both").code == 0
    assert sorted(path.read_text() for path in (tmp_path / "out").iterdir()) == ["a,b\n", "the second day"]


def test_retry_never_goes_over_another(call: Call, spool: Path, file: Path) -> None:
    """retry leaves an item in failed/ whose name is taken in incoming/, says so, and exits 1."""
    (spool / "failed" / "report.csv").write_text("old")
    call("submit", spool, file)
    said = call("retry", spool, "--all")
    assert said.code == 1 and "0 retried, 1 skipped" in said.out and "stays in failed/" in said.err
    assert (spool / "failed" / "report.csv").read_text() == "old"


def test_retry_wants_names_or_all(call: Call, spool: Path) -> None:
    """retry without names is a usage error; a name that is not there is exit code 1."""
    assert call("retry", spool).code == 2
    assert call("retry", spool, "nope").code == 1


def test_pause_is_a_file_that_resume_or_rm_ends(call: Call, spool: Path, file: Path, tmp_path: Path) -> None:
    """While paused nothing is taken (--once: 75); the reason is shown; resume ends it."""
    call("submit", spool, file)
    assert call("pause", spool, "--reason", "moving house").code == 0
    assert "moving house" in (spool / ".paused").read_text()
    said = call("run", spool, "--to", f"file://{tmp_path}/out", "--once", "--settle", "0")
    assert said.code == 75 and "moving house" in said.err
    assert "moving house" in call("status", spool).out
    assert call("resume", spool).out == "resumed\n"
    assert call("resume", spool).out == "it was not paused\n"
    assert call("run", spool, "--to", f"file://{tmp_path}/out", "--once", "--settle", "0").code == 0


def test_log_shows_receipts(call: Call, spool: Path, file: Path, tmp_path: Path) -> None:
    """log prints a line per receipt; --json all fields; --since only newer ones."""
    call("submit", spool, file)
    call("run", spool, "--to", f"file://{tmp_path}/out", "--once", "--settle", "0")
    assert f"report.csv  file://{tmp_path}/out/report.csv" in call("log", spool).out
    one = json.loads(call("log", spool, "--json").out)
    assert {"id", "name", "url", "size", "sha256", "arrived", "claimed", "finished", "attempts", "worker"} <= set(one)
    assert call("log", spool, "--since", "2999-01-01").out == ""
    assert call("log", spool, "--since", "1h").out
    assert call("log", spool, "--since", "yesterday-ish").code == 2


def test_log_of_what_may_not_be_read(call: Call) -> None:
    """Receipts that we may not read are an error and no empty log."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        spool = Path(directory) / "spool"
        assert call("init", spool).code == 0
        spool.chmod(0o755)
        (spool / "incoming").chmod(0o755)
        (spool / "receipts" / "w.jsonl").write_text("{}\n")
        (spool / "receipts").chmod(0o300)
        with as_nobody():
            said = call("log", spool)
        assert said.code == 1 and said.out == "" and f"Permission denied: {spool}/receipts" in said.err
        assert os.geteuid() != 0 or "It belongs to user root (0)" in said.err


def test_names_are_shown_safely(call: Call, spool: Path, tmp_path: Path) -> None:
    """A name with ESC and newline is shown with escapes, and what was shown names it for retry."""
    name = b"evil\x1b[31m\n\xff.txt"
    (spool / "failed" / os.fsdecode(name)).write_text("x")
    said = call("retry", spool, "evil%1B[31m%0A%FF.txt")
    assert said.code == 0
    assert (spool / "incoming" / os.fsdecode(name)).exists()
    shown = call("run", spool, "--to", f"file://{tmp_path}/out", "--dry-run").out
    assert "\x1b" not in shown and "evil%1B" in shown


def test_completion_prints_a_script(call: Call) -> None:
    """completion prints what the shell can read."""
    said = call("completion", "bash")
    assert said.code == 0
    assert subprocess.run(["bash", "-n"], input=said.out.encode()).returncode == 0


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["status", "my-s"], "my-spool"),
        (["status", "-c", "jol"], "jollyae.toml"),
        (["web", "my-s"], "my-spool"),
        (["web", "--token-file", "jol"], "jollyae.toml"),
        (["run", "my-spool", "--metrics-file", "jol"], "jollyae.toml"),
        (["service", "systemd", "--writes", "my-s"], "my-spool"),
        (["submit", "my-spool", "jol"], "jollyae.toml"),
    ],
    ids=" ".join,
)
def test_what_is_a_file_or_a_directory_is_completed(call: Call, tmp_path: Path, words: list[str], found: str) -> None:
    """As bash asks for it: spools and other directories, configurations and other files."""
    (tmp_path / "my-spool").mkdir()
    (tmp_path / "jollyae.toml").touch()
    typed = shlex.join(["jollyae", *words])
    ask = f"COMP_WORDS=({typed}); COMP_CWORD={len(words)}; _shtab_jollyae jollyae {shlex.join(words[-1:])} x"
    script = call("completion", "bash").out + f'\n{ask}\nprintf "%s\\n" "${{COMPREPLY[@]}}"\n'
    done = subprocess.run(["bash"], input=script, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == f"{found}\n", done.stderr


def test_a_pause_that_cannot_be_written_names_its_file(spool: Path) -> None:
    """As on a full disk, where the kernel names none."""
    command = f"ulimit -f 0; exec {shlex.join([sys.executable, '-m', 'jollyae', 'pause', str(spool)])}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.endswith(f": {spool}/.paused\n"), done.stderr
    assert not list(spool.glob(".*"))


def test_check_finds_what_is_wrong(call: Call, spool: Path, tmp_path: Path) -> None:
    """check says ok for a good spool and destination, and exits 1 with what to do for a bad one."""
    assert call("check", spool, "--to", f"file://{tmp_path}/out").code == 0
    (spool / "deferred").rmdir()
    said = call("check", spool)
    assert said.code == 1 and "missing" in said.out and "jollyae init" in said.out
    lines = [json.loads(line) for line in call("check", spool, "--json").out.splitlines()]
    assert lines[0]["state"] == "failed"


@pytest.mark.parametrize("words", [["--incoming", "."], ["--failed", "incoming/failed"]])
def test_a_place_among_the_items_is_refused(call: Call, spool: Path, words: list[str]) -> None:
    """What a worker puts there it would take again, and again: 78, and nothing is made or moved."""
    (spool / "incoming" / "item").touch()
    said = call("run", spool, "--exec", "true", words[0], spool / words[1], "--once")
    assert said.code == 78 and "would be taken as an item" in said.err
    assert "would be taken as an item" in call("check", spool, words[0], spool / words[1]).out
    assert [path.name for path in (spool / "incoming").iterdir()] == ["item"]
    assert call("run", spool, "--exec", "true", "--failed", spool / "incoming" / ".failed", "--once").code == 0


def test_run_says_what_it_made(call: Call, tmp_path: Path) -> None:
    """A spool or a place that was mistyped is made: that is told, once, and not what was there."""
    to = ("--exec", "true", "--once")
    new = tmp_path / "typo"
    said = call("run", new, *to)
    assert said.code == 0 and said.err.count("notice made") == 1 and f"made a new spool, {new}" in said.err
    assert "notice made" not in call("run", new, *to).err
    (new / "failed").rmdir()
    said = call("run", new, *to, "--incoming", tmp_path / "elsewhere")
    assert f"made {new}/failed, {tmp_path}/elsewhere" in said.err


@pytest.mark.parametrize("to", ["ftp://x", "s3://", "file://relative/x", "nonsense"])
def test_a_destination_that_cannot_be_is_refused(call: Call, spool: Path, to: str) -> None:
    """A URL that is no destination is a configuration error with what would be right."""
    said = call("run", spool, "--to", to, "--once")
    assert said.code == 78 and said.err.startswith("jollyae: ")


def test_two_destinations_are_one_too_many(call: Call, spool: Path) -> None:
    """run and check say that only one of --to and --exec can be, and where they may come from."""
    for verb in ("run", "check"):
        said = call(verb, spool, "--to", "s3://b", "--exec", "ls")
        assert said.code == 2 and "both --to s3://b and --exec 'ls'" in said.err and "JOLLYAE_EXEC" in said.err
    said = call("run", spool)
    assert said.code == 2 and "say where to deliver" in said.err


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])
def test_an_endpoint_of_the_environment_that_is_no_url(
    call: Call, spool: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """It is refused at the start, by the variable's name and in the words that --endpoint-url has."""
    monkeypatch.setenv(variable, "127.0.0.1:19123")
    told = f"{variable} '127.0.0.1:19123': it must begin with http:// or https://"
    said = call("run", spool, "--to", "s3://b", "--once")
    assert said.code == 78 and told in said.err
    said = call("check", spool, "--to", "s3://b")
    assert said.code == 78 and told in said.out and "Try: jollyae check" not in said.out


def test_a_key_template_that_cannot_be_is_refused(call: Call, spool: Path, tmp_path: Path) -> None:
    """A wrong template is refused at start, with the fields there are, and fails no item."""
    said = call("run", spool, "--to", f"file://{tmp_path}/out", "--key", "{now}", "--once")
    assert said.code == 78 and "{date:%Y/%m/%d}" in said.err


def test_dry_run_changes_nothing(call: Call, spool: Path, file: Path, tmp_path: Path) -> None:
    """--dry-run prints where each item would go, and leaves it where it is."""
    call("submit", spool, file)
    said = call("run", spool, "--to", "s3://bucket/p", "--key", "{stem}-x{ext}", "-n")
    assert said == (0, "report.csv -> s3://bucket/p/report-x.csv\n", said.err)
    assert (spool / "incoming" / "report.csv").exists() and not list((spool / "working").iterdir())


def test_below_the_floor(call: Call, spool: Path, file: Path) -> None:
    """submit refuses with 75 and a sentence, and writes nothing; status says why."""
    (spool / ".floor").write_text("free 100%\n")
    said = call("submit", spool, file)
    assert said.code == 75 and "the spool takes nothing more" in said.err and "100% must stay" in said.err
    assert not list((spool / "incoming").iterdir())
    assert "below the floor" in call("status", spool).out
    assert json.loads(call("status", spool, "--json").out)["below_floor"]
    (spool / ".floor").unlink()
    assert call("submit", spool, file).code == 0


def test_the_limits_of_run_are_checked(call: Call, spool: Path) -> None:
    """What is no age and no size is a usage error; a bare number is neither."""
    for option, text in (
        ("--keep-finished", "30"),
        ("--keep-finished", "30x"),
        ("--min-free", "lots"),
        ("--min-free-inodes", "5G"),
        ("--receipts-keep", "5"),
    ):
        said = call("run", spool, "--exec", "true", "--once", option, text)
        assert said.code == 2 and text in said.err


def test_retention_on_the_command_line(call: Call, spool: Path, file: Path) -> None:
    """run --keep-finished --finished-by-date: today's item stays, of what is too much the oldest goes."""
    (spool / "finished" / "old").write_bytes(bytes(100))
    call("submit", spool, file)
    options = ("--keep-finished", "30d", "--keep-finished", "50B", "--finished-by-date", "--settle", "0")
    assert call("run", spool, "--exec", "true", "--once", *options).code == 0
    [day] = (spool / "finished").iterdir()
    assert (day / "report.csv").read_text() == "a,b\n"


def test_what_cannot_be_compressed_is_refused(call: Call, spool: Path, tmp_path: Path) -> None:
    """A directory has no Content-Encoding, a command no compression, and one encoding is enough: 78, with a way out."""
    for options, said in (
        (("--to", f"file://{tmp_path}/there"), "--compress-as suffix"),
        (("--exec", "true"), "--to"),
        (("--to", "s3://b", "--content-encoding", "br"), "Leave one"),
    ):
        found = call("run", spool, *options, "--once", "--compress", "gzip")
        assert found.code == 78 and said in found.err


def test_a_dry_run_tells_the_compressed_key(call: Call, spool: Path, file: Path, tmp_path: Path) -> None:
    """With its suffix."""
    call("submit", spool, file)
    options = ("--to", f"file://{tmp_path}/there", "--compress", "gzip", "--compress-as", "suffix", "--dry-run")
    assert "report.csv.gz" in call("run", spool, *options).out
