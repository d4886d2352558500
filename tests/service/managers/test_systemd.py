"""Units for systemd: as tight as the page says, understood by systemd, and their commands are ones of this version."""

import re
import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from jollyae.cli.main import build_parser, run
from jollyae.service.managers import resolvers, systemd
from jollyae.service.managers.install import mark
from jollyae.service.managers.job import Job, of_queues, outermost
from jollyae.service.settings import ConfigurationError, Queue, Settings
from jollyae.spool.places import Places

ROOT = Path(__file__).parents[3]
SAMPLE = ROOT / "docs" / "jollyae.service"
PAGE = ROOT / "docs" / "verbs" / "service.md"

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")

JOB = Job(
    program=("/bin/true",),
    run=("run", "/srv/a spool", "--to", "s3://uploads/100%", "--key", "{date:%Y}/$x/{name}"),
    about="/srv/a spool to s3://uploads/100%",
    spools=("/srv/a spool",),
    incoming=("/srv/a spool/incoming",),
    credentials="/etc/jollyae/credentials",
)
JOBS = {
    "plain": JOB,
    "keys of the machine": replace(JOB, credentials=None),
    "other owners": replace(JOB, others_write=True),
    "commands": replace(JOB, executes=True),
    "commands for other owners": replace(JOB, executes=True, others_write=True),
    "a configuration": replace(
        JOB,
        config="/etc/jollyae.toml",
        check=("check", "-c", "/etc/jollyae.toml"),
        secrets=(("hook", "/etc/hook"),),
    ),
    "a cloud's resolver": replace(JOB, needs_link_local="names are resolved at 169.254.169.254"),
    "in a home": replace(JOB, spools=("/home/me/spool",), writes=("/tmp/there",)),
}
SCORE = {"plain": "1.2", "other owners": "1.5", "commands": "1.4", "commands for other owners": "1.7"}
"""What the page says."""


def _written(directory: Path, job: Job, *, path: bool = False) -> list[Path]:
    files = []
    for name, text in systemd.units(job, path=path, web=path).items():
        files.append(directory / name)
        files[-1].write_text(mark(text))
    return files


def _analyze(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    command = ["systemd-analyze", "--no-pager", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze cannot rate a file (before 250)")
    return done


@needs_systemd
@pytest.mark.parametrize("kind", JOBS)
def test_the_service_is_tight(kind: str, tmp_path: Path) -> None:
    """systemd's own rating is 2.0 or better for every kind, and what the page says of it."""
    [unit] = _written(tmp_path, JOBS[kind])
    done = _analyze("security", "--offline=true", "--threshold=20", unit)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found is not None
    if kind in SCORE:
        assert found.group(1) == SCORE[kind] and SCORE[kind] in PAGE.read_text()


@needs_systemd
@pytest.mark.parametrize("users", [False, True])
@pytest.mark.parametrize("kind", JOBS)
def test_systemd_understands_the_units(kind: str, users: bool, tmp_path: Path) -> None:
    """systemd-analyze verify has nothing to say about the service, the path or the timer."""
    job = replace(JOBS[kind], is_users=users)
    files = _written(tmp_path, job, path=True)
    assert [file.name.removeprefix("jollyae") for file in files] == [".service", "-web.service", ".path", ".timer"]
    done = _analyze("verify", *(("--user",) if users else ()), *files)
    said = [line for line in done.stderr.splitlines() if str(tmp_path) in line or "jollyae" in line]
    assert not said and (users or done.returncode == 0), done.stderr


@needs_systemd
def test_the_dashboard_s_service_is_tight(tmp_path: Path) -> None:
    """It has no keys, and nothing that commands would need."""
    job = replace(JOBS["commands for other owners"], web=("web", "/srv/a spool"))
    text = systemd.units(job, web=True)["jollyae-web.service"]
    assert "credentials" not in text and 'ExecStart=/bin/true web "/srv/a spool"\n' in text
    (tmp_path / "jollyae-web.service").write_text(text)
    done = _analyze("security", "--offline=true", "--threshold=20", tmp_path / "jollyae-web.service")
    assert done.returncode == 0 and "exposure level for jollyae-web.service: 1.2" in done.stdout


def test_the_sample_is_what_the_verb_prints(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/jollyae.service is made by this command, so there is one way."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    words = ["service", "systemd", "/srv/spool", "--to", "s3://BUCKET/PREFIX", "--region", "eu-central-1"]
    monkeypatch.setattr(resolvers, "FILE", Path("/none"))
    more = ["--credentials", "/etc/jollyae/credentials", "--program", "/usr/local/bin/jollyae"]
    assert run([*words, *more]) == 0
    assert capsys.readouterr().out == SAMPLE.read_text()


def test_the_sample_s_commands_are_ones() -> None:
    """What it starts is a command line of this version; the spool may be written. No check comes before, for one
    queue's missing program would keep all the others down."""
    text = SAMPLE.read_text()
    [words] = re.findall("^ExecStart=/usr/local/bin/jollyae (.*)$", text, re.M)
    parsed = build_parser(("run",)).parse_args(words.split())
    assert parsed.verb == "run" and parsed.spool in re.findall("^ReadWritePaths=(.*)$", text, re.M)
    assert "ExecStartPre" not in text
    assert "\nType=notify\n" in text, "systemd 252 knows no notify-reload"
    assert "\nRestartPreventExitStatus=2 78\n" in text


def test_words_come_through_systemd_s_quoting() -> None:
    """A space, a per cent sign and a dollar in a name are those of the name, not systemd's."""
    unit = systemd.units(JOB)["jollyae.service"]
    [line] = re.findall("^ExecStart=(.*)$", unit, re.M)
    assert shlex.split(line.replace("%%", "%").replace("$$", "$")) == ["/bin/true", *JOB.run]


@pytest.mark.parametrize(
    ("resolver", "to", "why"),
    [
        ("nameserver 10.0.0.2", "s3://bucket", ""),
        ("nameserver 127.0.0.53", "s3://bucket", ""),
        ("nameserver 169.254.169.253", "s3://bucket", ""),
        ("domain x\nnameserver  169.254.169.254", "s3://bucket", "names are resolved at 169.254.169.254"),
        ("nameserver fe80::1%eth0", "s3://bucket", "names are resolved at fe80::1%eth0"),
        ("nameserver 10.0.0.2", "gs://bucket", "the names and keys of Google's machines"),
        ("nameserver nonsense", "az://container", "the keys of Azure's"),
    ],
)
def test_names_can_be_resolved_in_each_cloud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resolver: str, to: str, why: str
) -> None:
    """Google's machines have their resolver where the keys are, so nothing there may be cut off."""
    monkeypatch.setattr(resolvers, "FILE", tmp_path / "resolv.conf")
    (tmp_path / "resolv.conf").write_text(f"{resolver}\n")
    queue = Queue("q", Places.under("/srv/q"), Settings(to=to))
    made = of_queues([queue], run=("run",), about="", credentials="/etc/keys")
    assert why in made.needs_link_local and bool(made.needs_link_local) == bool(why)
    assert ("\nIPAddressDeny=" in systemd.units(made)["jollyae.service"]) == (not why)


def test_the_path_starts_it_and_it_ends() -> None:
    """PathModified= on each incoming and a timer, never DirectoryNotEmpty=; only those two are enabled."""
    units = systemd.units(replace(JOB, incoming=("/srv/a/incoming", "/srv/b/incoming")), path=True)
    keys = re.findall(r"^(\w+)=(.*)$", units["jollyae.path"], re.M)
    assert [value for key, value in keys if key == "PathModified"] == ["/srv/a/incoming", "/srv/b/incoming"]
    assert "DirectoryNotEmpty" not in dict(keys)
    assert "\nOnUnitInactiveSec=300\n" in units["jollyae.timer"]
    assert "--idle-exit 60\n" in units["jollyae.service"] and "[Install]" not in units["jollyae.service"]
    assert systemd.steps(JOB, path=True)[1] == "systemctl enable --now jollyae.path jollyae.timer"


def test_a_wrong_configuration_is_not_loaded() -> None:
    """Reload checks first; without a configuration there is nothing to reload."""
    unit = systemd.units(JOBS["a configuration"])["jollyae.service"]
    check, hup = re.findall("^ExecReload=(.*)$", unit, re.M)
    assert check == "/bin/true check -c /etc/jollyae.toml --would-run" and hup == "/bin/kill -HUP $MAINPID"
    assert "ExecReload" not in systemd.units(JOB)["jollyae.service"]


@pytest.mark.parametrize(
    ("kind", "there", "gone"),
    [
        ("plain", "PrivateUsers=yes", "CAP_LEASE"),
        ("plain", "ProtectHome=yes", "ProtectHome=read-only"),
        ("plain", "IPAddressDeny=169.254.0.0/16 fe80::/10", "@"),
        ("plain", "IPAddressAllow=169.254.169.253", "@"),
        (
            "a cloud's resolver",
            "# No IPAddressDeny=169.254.0.0/16: names are resolved at 169.254.169.254.",
            "IPAddressAllow",
        ),
        ("keys of the machine", "MemoryDenyWriteExecute=yes", "IPAddressDeny"),
        ("other owners", "AmbientCapabilities=CAP_LEASE", "PrivateUsers"),
        ("commands", "SystemCallFilter=~@privileged", "MemoryDenyWriteExecute"),
        ("in a home", "ProtectHome=read-only", "ProtectHome=yes"),
        ("in a home", "PrivateTmp=no", "PrivateTmp=yes"),
        ("a configuration", "LoadCredential=hook:/etc/hook", "@"),
    ],
)
def test_what_is_relaxed_and_when(kind: str, there: str, gone: str) -> None:
    """Each right is given only where it is needed."""
    unit = systemd.units(JOBS[kind])["jollyae.service"].splitlines()
    assert there in unit
    assert not [line for line in unit if line.startswith(gone) or line.endswith(f"={gone}")]


def test_writable_directories_are_not_in_each_other() -> None:
    """Each is a mount of its own: one inside the other would part the places of a spool."""
    assert outermost(("/srv/spool", "/srv/spool/finished", "/mnt/x")) == ("/srv/spool", "/mnt/x")


def test_a_name_that_cannot_be_written_into_a_unit_is_refused() -> None:
    """A newline in a spool's name would begin another line of the unit."""
    with pytest.raises(ConfigurationError):
        replace(JOB, spools=("/srv/a\nUser=root",))
