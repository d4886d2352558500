#!/bin/sh
# tools/setup.sh   makes .venv with the locked development packages and this checkout (editable); safe to repeat.
# Needs Python 3.11 or newer ($PYTHON, else python3) and the package index that pip is configured for.
# Debian's python3 comes without ensurepip. Then: as root, install it; else let pip come from Debian's wheel of pip,
# unpacked into a private folder; else say what is missing.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
venv=.venv

die() { echo "setup: $*" >&2; exit 1; }

command -v "$python" >/dev/null || die "$python is not there: install Python 3.11 or newer, or set PYTHON"
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    die "$python is Python $version: 3.11 or newer is needed; set PYTHON to one"

has_ensurepip() { "$python" -c 'import ensurepip' 2>/dev/null; }

# Any user may download a package; where the machine's package lists are empty, with lists of our own.
debian_pip_wheel() {  # prints the path of the wheel, inside $1
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
    mkdir -p "$1/state/lists/partial" "$1/cache/archives/partial"
    (
        cd "$1"
        apt-get -qq download python3-pip-whl 2>/dev/null || {
            private="-o Dir::State=$PWD/state -o Dir::State::status=/var/lib/dpkg/status -o Dir::Cache=$PWD/cache"
            # shellcheck disable=SC2086  # $1 comes from mktemp and has no spaces
            apt-get -qq $private update && apt-get -qq $private download python3-pip-whl
        }
        dpkg-deb -x python3-pip-whl_*.deb .
    ) </dev/null >&2 || return 1
    ls "$1"/usr/share/python-wheels/pip-*.whl
}

make_venv() {
    rm -rf "$venv"
    has_ensurepip || { [ "$(id -u)" = 0 ] && tools/apt-install.sh "python$version-venv"; } || true
    if has_ensurepip; then
        "$python" -m venv "$venv"
        return
    fi
    "$python" -m venv --without-pip "$venv" || die "Python's venv module is missing: install python$version-venv"
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    wheel=$(debian_pip_wheel "$scratch") ||
        die "pip is missing and could not be fetched: install python$version-venv (as root: apt-get install python$version-venv), then try again"
    "$venv/bin/python" "$wheel/pip" install -q pip
}

# A venv holds absolute paths: one that was moved, or whose Python has gone, is made again.
works() { [ "$("$venv/bin/python" -c 'import sys, pip; print(sys.prefix)' 2>/dev/null)" = "$(pwd -P)/$venv" ]; }
works || make_venv

# An editable install needs no second build: only the locked hatchling, no index.
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }
pip install -q --require-hashes -r requirements/dev.txt
pip install -q --no-deps --no-build-isolation --editable .
