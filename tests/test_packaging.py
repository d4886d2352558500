"""The wheel and the sdist: what is in them, and that they work in an environment that has nothing else."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from jollyae import __version__
from jollyae.cli.main import VERBS, build_parser, verbs

ROOT = Path(__file__).parent.parent
SOURCES = (
    "src",
    "docs",
    "tools",
    "tests",
    "bench",
    "requirements",
    "Makefile",
    "pyproject.toml",
    "README.md",
    "LICENSE",
)
DATA = f"jollyae-{__version__}.data/data/share"


def _run(*words: str | Path, **more: Any) -> str:
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


def _build(source: Path, target: Path, *kinds: str) -> Path:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("JOLLYAE_", "PYTHONPATH"))}
    flags = [word for kind in kinds for word in ("-t", kind)]
    _run(sys.executable, "-m", "hatchling", "build", "-d", target, *flags, cwd=source, env=clean)
    return target


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel and an sdist of this checkout, built in a copy of it."""
    copy = tmp_path_factory.mktemp("source")
    for name in (*SOURCES, "README.md", "CHANGELOG.md", "CONTRIBUTING.md"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    return _build(copy, tmp_path_factory.mktemp("dist"), "wheel", "sdist")


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    """The wheel."""
    [path] = built.glob("*.whl")
    return path


def test_what_is_in_the_wheel(wheel: Path) -> None:
    """The package with its data, a manual for each verb, completions for three shells; no tests."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {f"{DATA}/man/man1/jollyae-{verb}.1" for verb in VERBS} < names
    assert {f"{DATA}/man/man1/jollyae.1", f"{DATA}/bash-completion/completions/jollyae"} < names
    assert {f"{DATA}/zsh/site-functions/_jollyae", f"{DATA}/fish/vendor_completions.d/jollyae.fish"} < names
    tracked = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert tracked <= names and not [name for name in names if name.startswith("tests/")]


def test_the_sdist_makes_the_same_wheel(built: Path, wheel: Path, tmp_path: Path) -> None:
    """Who packs it for a distribution starts with the sdist; byte for byte the same comes out."""
    [sdist] = built.glob("*.tar.gz")
    _run("tar", "-xf", sdist, "-C", tmp_path)
    [again] = _build(tmp_path / f"jollyae-{__version__}", tmp_path / "dist", "wheel").glob("*.whl")
    assert again.read_bytes() == wheel.read_bytes()


# --- installed


def _venv(directory: Path) -> Path:
    _run(sys.executable, "-m", "venv", "--without-pip", directory)
    return directory


def _pip(venv: Path, *words: str | Path) -> None:
    """pip, from the index that it is configured for; without one the test is skipped."""
    command = [sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python"), "--disable-pip-version-check"]
    done = subprocess.run([*command, "-q", *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode and re.search("No matching distribution|Connection|Retrying|resolution", done.stderr):
        pytest.skip(f"no package index: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel alone in a new environment: its directory."""
    venv = _venv(tmp_path_factory.mktemp("installed") / "venv")
    _pip(venv, "install", wheel)
    return venv


def _clean(venv: Path) -> dict[str, str]:
    return {"PATH": f"{venv}/bin:/usr/bin:/bin", "HOME": str(venv), "LC_ALL": "C.UTF-8", "MANPATH": f"{venv}/share/man"}


@pytest.mark.real
def test_it_runs_where_nothing_else_is(installed: Path, tmp_path: Path) -> None:
    """Version, help of the demo, and a delivery, with the core's packages only."""
    environment = _clean(installed)

    def jollyae(*words: str | Path) -> str:
        return _run(installed / "bin" / "jollyae", *words, env=environment, cwd=tmp_path)

    assert jollyae("--version") == f"jollyae {__version__}\n"
    assert "embedded S3" in jollyae("demo", "--help")
    (tmp_path / "note").write_text("hello")
    jollyae("init", "spool")
    jollyae("submit", "spool", "note")
    jollyae("run", "spool", "--to", f"file://{tmp_path}/there", "--once", "--settle", "0")
    assert (tmp_path / "there" / "note").read_text() == "hello"
    assert "ExecStart=" + str(installed / "bin" / "jollyae") in jollyae("service", "systemd", "spool", "--to", "s3://b")


@pytest.mark.real
def test_the_core_brings_none_of_the_extras(installed: Path) -> None:
    """Who delivers to S3 gets no picture library and no web server."""
    listed = _run(sys.executable, "-m", "pip", "--python", installed / "bin" / "python", "list", "--format=freeze")
    there = {_normal(line.partition("==")[0]) for line in listed.splitlines()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    core = {_normal(_name(one)) for one in project["dependencies"]}
    extras = {_normal(_name(one)) for group in project["optional-dependencies"].values() for one in group}
    assert core <= there and not (extras - core) & there


def _name(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found is not None
    return found.group()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


# --- manuals and completions


@pytest.fixture(scope="module")
def share(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """share/ of the wheel."""
    target = tmp_path_factory.mktemp("share")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target / DATA


def _formatters() -> Iterator[Any]:
    for words in (["mandoc", "-T", "lint", "-W", "error"], ["groff", "-man", "-Tutf8", "-Kutf8", "-ww", "-z"]):
        missing = shutil.which(words[0]) is None
        reason = f"no {words[0]}"
        yield pytest.param(words, id=words[0], marks=pytest.mark.skipif(missing, reason=reason))


@pytest.mark.parametrize("words", list(_formatters()))
def test_the_manuals_are_sound(words: list[str], share: Path) -> None:
    """Each is formatted without a warning."""
    for page in sorted((share / "man" / "man1").iterdir()):
        done = subprocess.run([*words, str(page)], capture_output=True, text=True, check=False)
        assert done.returncode == 0 and not done.stderr.strip(), f"{page.name}: {done.stdout}{done.stderr}"


@pytest.mark.skipif(shutil.which("man") is None or shutil.which("groff") is None, reason="no man")
@pytest.mark.parametrize("verb", VERBS)
def test_the_manual_of_a_verb_has_its_options(verb: str, share: Path) -> None:
    """As man shows it: each option that the verb's help shows."""
    page = share / "man" / "man1" / f"jollyae-{verb}.1"
    environment = os.environ | {"MANWIDTH": "500", "LC_ALL": "C.UTF-8", "MAN_KEEP_FORMATTING": ""}
    text = _run("man", "--warnings", "--no-hyphenation", "-l", page, env=environment)
    text = re.sub(".\b", "", text)
    assert text.startswith(f"JOLLYAE-{verb.upper()}(1)") and f"jollyae-{verb} - " in text
    for action in verbs(build_parser((verb,)))[verb]._actions:
        if action.option_strings and action.help != "==SUPPRESS==":
            assert max(action.option_strings, key=len) in text, verb


@pytest.mark.parametrize(
    ("shell", "path", "check"),
    [
        ("bash", "bash-completion/completions/jollyae", 'source "$0"; complete -p jollyae'),
        ("zsh", "zsh/site-functions/_jollyae", 'zsh -n "$0"'),
        ("fish", "fish/vendor_completions.d/jollyae.fish", 'fish --no-execute "$0"'),
    ],
)
def test_the_completions_are_of_their_shell(shell: str, path: str, check: str, share: Path) -> None:
    """Each is read by its shell, and knows the verbs."""
    text = (share / path).read_text()
    assert "service" in text and "--idle-exit" in text
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell}")
    _run("bash", "-c", check, share / path)


# --- the container


def _containerfile() -> list[tuple[str, str]]:
    """The instructions of the Containerfile with their words."""
    text = (ROOT / "Containerfile").read_text()
    text = re.sub(r"(?m)^#.*\n", "", text).replace("\\\n", " ")
    found = [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]
    return [(word, rest) for word, rest in found]


def test_the_container_is_no_root_and_healthy() -> None:
    """Two stages from one base; a user that is a number; exec forms; a health check and an entry of this version."""
    lines = _containerfile()
    words = [word for word, _ in lines]
    known = {"ARG", "FROM", "WORKDIR", "COPY", "RUN", "LABEL", "ENV", "VOLUME", "USER", "STOPSIGNAL"}
    assert set(words) == known | {"HEALTHCHECK", "ENTRYPOINT", "CMD"}
    assert words.count("FROM") == 2 and words.index("USER") > len(words) - 1 - words[::-1].index("RUN")
    last = dict(lines)
    assert re.fullmatch(r"(\d+):\1", last["USER"]) and last["USER"] != "0:0"
    assert {key for key, _ in re.findall(r'([\w.]+)="([^"]+)"', last["LABEL"])} >= {
        f"org.opencontainers.image.{key}" for key in ("title", "description", "licenses")
    }
    assert last["ENTRYPOINT"] == '["jollyae"]' and last["CMD"] == '["run", "/spool"]'
    [health] = re.findall(r"CMD \[(.*)\]", last["HEALTHCHECK"])
    program, *rest = [word.strip(' "') for word in health.split(",")]
    assert program == "jollyae" and build_parser((rest[0],)).parse_args(rest).health


@pytest.mark.real
@pytest.mark.slow
def test_the_containers_lines_make_an_environment(tmp_path: Path) -> None:
    """There is no container engine here: its RUN lines that make the environment are run in a directory, as written
    but for the paths, on what the image's context has."""
    context = _context(tmp_path / "source")
    lines = [rest for word, rest in _containerfile() if word == "RUN" and "install -d" not in rest]
    for line in lines:
        line = line.replace("/constraints.txt", f"{tmp_path}/constraints.txt").replace("/opt", f"{tmp_path}/opt")
        line = line.replace("python -m venv", f"{shlex.quote(sys.executable)} -m venv")
        environment = os.environ | {"EXTRAS": "web"}
        command = ["sh", "-euc", line]
        done = subprocess.run(command, cwd=context, env=environment, capture_output=True, text=True, check=False)
        if done.returncode and re.search("No matching distribution|Connection", done.stderr):
            pytest.skip(f"no package index: {done.stderr.strip().splitlines()[-1]}")
        assert done.returncode == 0, f"{line}: {done.stderr}"
    programs = tmp_path / "opt" / "jollyae" / "bin"
    assert _run(programs / "jollyae", "--version", env={"PATH": "/bin"}) == f"jollyae {__version__}\n"
    assert "--listen" in _run(programs / "jollyae", "web", "--help", env={"PATH": "/bin"})
    assert not (programs / "pip").exists()


def _context(directory: Path) -> Path:
    """What .dockerignore leaves of this checkout."""
    directory.mkdir()
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line.startswith("!"):
            source = ROOT / line[1:].rstrip("/")
            if source.is_dir():
                shutil.copytree(source, directory / source.name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, directory)
    return directory


@pytest.fixture
def passable() -> Iterator[Path]:
    """A directory that every user can pass through."""
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o755)
        yield Path(path)


ANYBODY: dict[str, Any] = {"user": 54321, "group": 54321, "extra_groups": [], "cwd": "/"}


def _python_for_anybody(environment: dict[str, str]) -> str:
    """This Python, or the system's where that is of the same version: one that other users may run."""
    for program in (sys.executable, "/usr/bin/python3"):
        with suppress(OSError):
            command = [program, "-c", "import msgspec, sys; print(*sys.version_info[:2])"]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, **ANYBODY)
            if done.stdout.split() == [str(number) for number in sys.version_info[:2]]:
                return program
    pytest.skip(f"other users may not run {sys.executable}")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_any_user_will_do(passable: Path) -> None:
    """As in a container with --user and a read-only root: a number that no passwd(5) knows, and no right to write
    elsewhere than in the spool."""
    shutil.copytree(ROOT / "src", passable / "src", ignore=shutil.ignore_patterns("__pycache__"))
    spool = passable / "spool"
    spool.mkdir()
    os.chown(spool, 54321, 54321)
    path = f"{passable}/src:{sysconfig.get_path('platlib')}"
    environment = {"PATH": "/bin", "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/"}
    python = _python_for_anybody(environment)

    def jollyae(*words: str | Path) -> str:
        return _run(python, "-m", "jollyae", *words, env=environment, **ANYBODY)

    jollyae("init", spool / "q")
    (spool / "q" / "incoming" / "note").write_text("hello")
    os.chown(spool / "q" / "incoming" / "note", 54321, 54321)
    jollyae("run", spool / "q", "--to", f"file://{spool}/there", "--once", "--settle", "0")
    note = spool / "there" / "note"
    assert note.read_text() == "hello" and note.stat().st_uid == 54321
