#!/bin/sh
# tools/fault-tools.sh   the programs that the fault suites use: file systems to break, disks that fail, clocks that jump.
# Root on Debian: installs what is missing. Anyone else: says what is missing; suites that need it are skipped, by name.
# Always exits 0.
cd "$(dirname "$0")/.." || exit 1
tools/apt-install.sh strace e2fsprogs xfsprogs btrfs-progs qemu-system-common qemu-utils nbdkit libnbd-bin fuse3 faketime ||
    echo "fault-tools: the suites that need them are skipped, by name" >&2
exit 0
