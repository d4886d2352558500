#!/bin/sh
# tools/test-tools.sh   the programs that the tests use as producers, as witnesses and as stores.
# Root on Debian: installs what is missing. Anyone with npm: Azurite, into .venv. Else: says which tests will be
# skipped. Always exits 0.
cd "$(dirname "$0")/.." || exit 1
tools/apt-install.sh openssh-server openssh-client openssh-sftp-server rsync curl strace procps ||
    echo "test-tools: the tests that need them are skipped, by name" >&2

# Microsoft's emulator of Azure Storage; 190 MB, some 15 s, once for each .venv.
azurite=3.37.0
node=.venv/node
missing() { echo "missing: azurite ($1)
test-tools: the tests that need it are skipped, by name" >&2; exit 0; }
[ "$(cat "$node/azurite" 2>/dev/null)" = "$azurite" ] && exit 0
[ "${TEST_INSTALL:-yes}" != no ] || missing "TEST_INSTALL=no"
command -v npm >/dev/null || missing "npm is not there"
mkdir -p "$node"
timeout 300 npm install --prefix "$node" --ignore-scripts --no-audit --no-fund --no-package-lock --loglevel=error \
    "azurite@$azurite" >/dev/null </dev/null || missing "npm could not install it"
echo "$azurite" >"$node/azurite"
