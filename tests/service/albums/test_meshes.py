"""The list of servers in a configuration file: read, or refused with the line."""

import re
from pathlib import Path

import pytest

from jollyae.cli.run_options import KEYS
from jollyae.service import config
from jollyae.service.albums.meshes import KINDS, load
from jollyae.service.settings import ConfigurationError

QUEUE = """[queue.photos]
spool = "/srv/photos"
to = "s3://bucket"

"""
SERVERS = 'servers = ["http://a/x", "http://b/x", "http://c/x"]\n'
DOCS = Path(__file__).parents[3] / "docs"


def written(path: Path, text: str) -> Path:
    """A file with that text."""
    found = path / "jollyae.toml"
    found.write_text(text)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_list(tmp_path: Path, kind: str) -> None:
    """It is found by its name, or by being the only one; beside queues, which do not mind."""
    text = f'{QUEUE}[mesh.family]\ntopology = "{kind}"\nuser = "carrier"\nforget = ["http://d/x"]\n{SERVERS}'
    found = load(written(tmp_path, text))
    assert (found.kind, found.user, found.forget) == (kind, "carrier", ("http://d/x",))
    assert found.servers == ("http://a/x", "http://b/x", "http://c/x")
    assert load(tmp_path / "jollyae.toml", "family") == found
    assert [queue.name for queue in config.load(tmp_path / "jollyae.toml", KEYS).queues] == ["photos"]


def test_the_centre_of_a_star_comes_first(tmp_path: Path) -> None:
    """Whatever its place in the list."""
    path = written(tmp_path, f'[mesh.family]\ntopology = "star"\ncentre = "http://b/x"\n{SERVERS}')
    assert load(path).servers == ("http://b/x", "http://a/x", "http://c/x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'[mesh.a]\n{SERVERS}topology = "wheel"', r"line 3: .*topology: 'wheel'"),
        (f"[mesh.a]\n{SERVERS}[mesh.b]\n{SERVERS}", "--name"),
        (f"[mesh.a]\n{SERVERS}servres = 1", r"line 3: .*servers"),
        ('[mesh.a]\ntopology = "ring"', r"line 1: .*no servers"),
        ('[mesh.a]\nservers = "http://a/x"', r"line 2: .*servers"),
        ('[mesh.a]\nservers = ["http://me:secret@a/x"]', r"line 2: .*password"),
        (f'[mesh.a]\n{SERVERS}centre = "http://a/x"', r"line 3: .*only a star"),
        (f'[mesh.a]\ntopology = "star"\n{SERVERS}centre = "http://z/x"', r"line 4: .*none of the servers"),
        ("[mesh]\na = 1", r"line 2: .*no table"),
        ("mesh = 1", "no \\[mesh.NAME\\]"),
        ("", "no \\[mesh.NAME\\]"),
        ("[mesh.a", "line 1"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    """And a password is not said again."""
    path = written(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    assert re.search(said, f"{caught.value.message} {caught.value.hint}"), caught.value.message
    assert "secret" not in caught.value.message
    with pytest.raises(ConfigurationError, match="nowhere"):
        load(tmp_path / "nowhere.toml")


def test_run_tells_it_too(tmp_path: Path) -> None:
    """What is wrong with a mesh is wrong with the file."""
    path = written(tmp_path, f'{QUEUE}[mesh.family]\ntopology = "wheel"\n{SERVERS}')
    with pytest.raises(ConfigurationError, match=r"line 6: topology: 'wheel'"):
        config.load(path, KEYS)
    with pytest.raises(ConfigurationError, match="none"):
        load(written(tmp_path, f"[mesh.family]\n{SERVERS}"), "none")


def test_its_keys_are_documented() -> None:
    """Those of CONFIGURATION.md are those there are."""
    section = (DOCS / "CONFIGURATION.md").read_text().partition("## [mesh.NAME]")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == {
        "servers",
        "topology",
        "centre",
        "user",
        "forget",
    }
