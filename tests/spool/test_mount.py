"""The type of file system, from the kernel's table of mounts."""

from pathlib import Path

import pytest

from jollyae.spool import mount

TABLE = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:50 / /mnt/nas rw - nfs4 nas:/export rw
31 22 0:51 / /mnt/my\040disk rw shared:5 master:2 - fuse.sshfs host: rw
32 22 0:52 / /mnt/nas rw - tmpfs none rw
33 22 0:53 / /mnt/nas/deep rw - cifs //x rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv", "ext4"),
        ("/mnt/nasty", "ext4"),
        ("/mnt/nas/x", "tmpfs"),
        ("/mnt/nas/deep", "cifs"),
        ("/mnt/my disk/a", "fuse.sshfs"),
    ],
)
def test_kind(path: str, kind: str) -> None:
    """The longest mount point counts, of two on one point the later; spaces are unescaped."""
    assert mount.kind(path, TABLE) == kind


def test_here(tmp_path: Path) -> None:
    """Of a real directory a type is found, and a local one is not taken for remote."""
    if not any(line.split()[4] == "/" for line in Path("/proc/self/mountinfo").read_text().splitlines()):
        pytest.skip("the mount of / is not to be seen (a chroot)")
    assert mount.kind(tmp_path)
    assert not mount.is_remote("tmpfs")
    assert mount.is_remote("fuse.sshfs") and mount.is_remote("9p")
