#!/bin/sh
# tools/fault-tools.sh   the programs that the fault suites use: file systems to break, disks that fail, clocks that jump,
# guests with an NFS server.
# Root on Debian: installs what is missing. Anyone else: says what is missing; suites that need it are skipped, by name.
# Always exits 0.
cd "$(dirname "$0")/.." || exit 1
skipped() { echo "fault-tools: the suites that need them are skipped, by name" >&2; }
tools/apt-install.sh strace e2fsprogs xfsprogs btrfs-progs qemu-system-common qemu-utils nbdkit libnbd-bin fuse3 faketime ||
    skipped
tools/apt-install.sh qemu-system-x86 busybox-static nfs-ganesha nfs-ganesha-vfs netbase || { skipped; exit 0; }

# A kernel for the guests, into .venv and never installed: 70 MB, once for each .venv.
guest=.venv/guest
missing() { echo "missing: a kernel for guests ($1)" >&2; skipped; exit 0; }
[ -e "$guest/linux" ] && exit 0
[ "${TEST_INSTALL:-yes}" != no ] || missing "TEST_INSTALL=no"
rm -rf "$guest"
mkdir -p "$guest/new" || missing "no room in .venv"
fetch() {
    package=$(apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
    [ -n "$package" ] && (cd "$guest/new" && apt-get -qq download "$package" >/dev/null 2>&1 </dev/null)
}
fetch || { apt-get -qq update >/dev/null 2>&1 </dev/null; fetch; } || missing "apt-get could not download one"
kernel=./lib/modules/*/kernel
dpkg-deb --fsys-tarfile "$guest"/new/*.deb | tar -x -C "$guest" --wildcards './boot/vmlinuz*' "$kernel/fs/*" \
    "$kernel/net/*" "$kernel/lib/*" "$kernel/crypto/*" "$kernel/drivers/virtio/*" "$kernel/drivers/char/hw_random/*" \
    "$kernel/drivers/net/virtio_net.ko*" "$kernel/drivers/net/net_failover.ko*" || missing "$package is not as expected"
rm -rf "$guest/new"
echo "$package" >"$guest/linux"
