#!/bin/sh
# tools/apt-install.sh PACKAGE…   installs the Debian packages that are missing; without a terminal; no service starts, now or at boot.
# Exit 0: all are there. 3: some are missing and cannot be installed here; one line on stderr says which and why.
# TEST_INSTALL=no in the environment: never install.
set -eu

missing=
for package; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || status=
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

refuse() { echo "missing:$missing ($1)" >&2; exit 3; }
command -v apt-get >/dev/null || refuse "not a Debian system"
[ "$(id -u)" = 0 ] || refuse "installing them needs root"
[ "${TEST_INSTALL:-yes}" != no ] || refuse "TEST_INSTALL=no"

# One of us at a time, because of the policy file; other users of apt are waited for by apt itself.
exec 9>/run/lock/jollyae-apt
flock 9

# invoke-rc.d asks this file; 101 is "do not start it". One that is there already is the machine's own, and stays,
# unless it is ours from a run that was killed.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ] || grep -qs jollyae "$policy"; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 143' INT TERM
    printf '#!/bin/sh\n# jollyae tools/apt-install.sh, while it installs\nexit 101\n' >"$policy"
    chmod +x "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
apt() { apt-get -qq -o DPkg::Lock::Timeout=300 "$@" 9>&- </dev/null >&2; }
refresh() {  # the lock on the package lists is the one that apt does not wait for
    tries=0
    until apt update; do
        tries=$((tries + 1))
        [ $tries -lt 10 ] || return 1
        sleep 5
    done
}

# What is started at boot. sshd on a developer's machine because of a test is not what anyone asked for.
# Of /etc/rc2.d/S01ssh only /etc/rc2.d/ssh counts: an installation may change the numbers of all.
enabled() {
    find /etc/systemd/system -path '*.wants/*' -type l 2>/dev/null | sort
    find /etc/rc[S2-5].d -name 'S[0-9][0-9]*' -type l 2>/dev/null | sed 's|/S[0-9][0-9]\([^/]*\)$|/\1|' | sort
}

echo "installing:$missing" >&2
before=$(enabled)
# shellcheck disable=SC2086  # one word per package
apt install -y --no-install-recommends $missing 2>/dev/null ||
    { refresh && apt install -y --no-install-recommends $missing; } ||
    { echo "missing:$missing (apt-get could not install them)" >&2; exit 3; }
enabled | while IFS= read -r link; do
    printf '%s\n' "$before" | grep -qxF -e "$link" && continue
    case $link in
        /etc/rc*) update-rc.d "${link##*/}" disable ;;  # a link that is only removed comes back with an upgrade
        *) rm -f "$link" ;;
    esac
done
