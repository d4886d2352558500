"""What is told when the spool itself cannot be worked on."""

import errno
import os
import subprocess
import sys

from jollyae.worker import room

IN_A_CLOSED_PLACE = """
import os, tempfile
from jollyae.spool import fs
from jollyae.worker import room

if os.geteuid() == 0:  # whom no right stops
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
with tempfile.TemporaryDirectory() as root:
    os.makedirs(f"{root}/working/w")
    os.mkdir(f"{root}/finished")
    open(f"{root}/working/w/z.txt", "x").close()
    for closed in ("finished", "working/w"):
        os.chmod(f"{root}/{closed}", 0o500)
        try:
            fs.rename(f"{root}/working/w/z.txt", f"{root}/finished/z.txt")
        except OSError as error:
            for said in room.told(error):
                print(said.replace(root, "ROOT"))
        os.chmod(f"{root}/{closed}", 0o700)
"""


def test_of_a_rename_that_is_refused_the_closed_directory_is_named() -> None:
    """And not the item, which is well; with what its owner has to do."""
    run = subprocess.run([sys.executable, "-c", IN_A_CLOSED_PLACE], capture_output=True, text=True, check=True)
    text, hint, other, _ = run.stdout.splitlines()
    assert text == "cannot write in ROOT/finished: Permission denied"
    assert hint.startswith("Give its owner, whom we are") and hint.endswith("chmod u+rwx ROOT/finished")
    assert other == "cannot write in ROOT/working/w: Permission denied"


def test_other_troubles_name_the_path() -> None:
    """With what to do about them; room is asked for only where room lacks."""
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/spool/receipts")
    assert room.told(full) == ("No space left on device: /spool/receipts", "Free some room.")
    ill = OSError(errno.EIO, os.strerror(errno.EIO), "/spool/receipts")
    assert room.told(ill) == ("Input/output error: /spool/receipts", "Mend what it says.")
