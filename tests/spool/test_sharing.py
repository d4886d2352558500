"""By what a worker proves that it lives: told from where the spool lies."""

from pathlib import Path

import pytest

from jollyae.spool import mount, owner, sharing
from jollyae.spool.leases import Leases
from jollyae.spool.mount import Mount
from jollyae.spool.owner import Locks
from jollyae.spool.sharing import Shared, decide
from jollyae.spool.spool import Spool, SpoolError

LOCAL = Mount("ext4", {"rw": ""})
GOOD = Mount("nfs4", {"rw": "", "vers": "4.2", "hard": "", "acregmax": "60"})
SOFT = Mount("nfs4", {"rw": "", "soft": ""})
UNSAFE = [
    SOFT,
    Mount("nfs4", {"softerr": ""}),
    Mount("nfs4", {"nocto": ""}),
    Mount("nfs4", {"actimeo": "600"}),
    Mount("nfs4", {"acdirmax": "61"}),
    Mount("nfs", {"vers": "3"}),
    Mount("cifs", {}),
    Mount("fuse.sshfs", {}),
]
UNKNOWN = [Mount("ceph", {}), Mount("fuse.glusterfs", {}), Mount("9p", {})]


def test_chosen_by_itself() -> None:
    """Leases on NFS 4, and where others have some already; else locks."""
    assert decide(GOOD, Shared.AUTO).by_leases
    assert not decide(LOCAL, Shared.AUTO).by_leases
    assert decide(LOCAL, Shared.AUTO, leased=True).by_leases
    for where in UNKNOWN:
        assert decide(where, Shared.AUTO) == sharing.Sharing(False)


@pytest.mark.parametrize("where", UNSAFE, ids=str)
def test_unsafe(where: Mount) -> None:
    """For one host as ever, with a remark; refused where another host works on it, or where it is to be shared; never
    where somebody says that it is not."""
    alone = decide(where, Shared.AUTO)
    assert not alone.by_leases and not alone.refusal and "this host only" in alone.remark
    assert "web2-1-00000000 works on this spool" in decide(where, Shared.AUTO, others=("web2-1-00000000",)).refusal
    refused = decide(where, Shared.YES)
    assert "cannot be shared" in refused.refusal and "--shared no" in refused.hint
    assert decide(where, Shared.NO) == sharing.Sharing(False)


def test_forced() -> None:
    """Leases anywhere else; with a remark where nobody has tried."""
    for where in (LOCAL, GOOD):
        assert decide(where, Shared.YES) == sharing.Sharing(True)
    for where in UNKNOWN:
        assert decide(where, Shared.YES).by_leases and "nobody has proved" in decide(where, Shared.YES).remark
    assert not decide(GOOD, Shared.NO).by_leases


def test_options_of_a_mount() -> None:
    """Those of the mount and those of the file system, with their values."""
    line = "36 35 0:46 / /srv/a\\040b rw,noatime shared:1 - nfs4 nas:/x rw,vers=4.1,soft,actimeo=600,addr=10.0.0.1"
    assert mount.find("/srv/a b/spool", line) == Mount(
        "nfs4",
        {"rw": "", "noatime": "", "vers": "4.1", "soft": "", "actimeo": "600", "addr": "10.0.0.1"},
    )
    assert mount.find("/home", line) == Mount("", {})


def test_a_living_worker_of_another_host_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its lock; one of this host, or a dead one, is no reason to refuse."""
    spool = Spool(tmp_path / "spool")
    monkeypatch.setattr(mount, "find", lambda directory: SOFT)
    monkeypatch.setattr(owner, "hostname", lambda: "here")
    own = owner.publish(str(spool.places.working))
    assert isinstance(sharing.ownership(spool.places, Shared.AUTO)[0], Locks)
    monkeypatch.setattr(owner, "hostname", lambda: "there")
    with pytest.raises(SpoolError, match=r"here-\d+-\w+ works on this spool, which cannot be shared"):
        sharing.ownership(spool.places, Shared.AUTO)
    own.remove()
    assert isinstance(sharing.ownership(spool.places, Shared.AUTO)[0], Locks)


def test_what_a_server_knows_a_host_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On NFS its name, and what its administrator added; elsewhere nothing, so nobody is refused for his name."""
    spool, unique = Spool(tmp_path / "spool"), tmp_path / "id"
    unique.write_text("4711\n")
    monkeypatch.setattr(sharing, "_NFS_ID", str(unique))
    monkeypatch.setattr(sharing.socket, "gethostname", lambda: "web1")  # type: ignore[attr-defined]
    chosen, _ = sharing.ownership(spool.places, Shared.YES)
    assert isinstance(chosen, Leases) and chosen.client == ""
    monkeypatch.setattr(mount, "find", lambda directory: GOOD)
    monkeypatch.setattr(mount, "kind", lambda directory: "nfs4")
    chosen, _ = sharing.ownership(spool.places, Shared.AUTO)
    assert isinstance(chosen, Leases) and chosen.client == "web1/4711"
