#!/bin/sh
# tools/test-tools.sh   the programs that the tests use as producers, as witnesses and as stores.
# Root on Debian: installs what is missing. Anyone with npm: two servers, into .venv. Else: says which tests will be
# skipped. Always exits 0.
cd "$(dirname "$0")/.." || exit 1
tools/apt-install.sh openssh-server openssh-client openssh-sftp-server rsync curl strace procps ffmpeg ||
    echo "test-tools: the tests that need them are skipped, by name" >&2
# Apart, for not every Debian has them: systemd rates and reads our units (nothing of it is started), the others show the
# manuals and read the completions.
tools/apt-install.sh systemd util-linux man-db groff-base mandoc zsh fish ||
    echo "test-tools: the tests of units, manuals and completions that need them are skipped, by name" >&2
# Apart: it is large, and no reason to have none of the others. Playwright's driver is a node that needs libatomic.
tools/apt-install.sh chromium libatomic1 ||
    echo "test-tools: the tests of the album in a browser are skipped, by name" >&2

# Apart too: promtool comes with the whole of Prometheus (20 MB); its service is neither started nor enabled.
tools/apt-install.sh prometheus ||
    echo "test-tools: the tests of metrics, alerts and dashboard by promtool are skipped, by name" >&2

# Apart: an AMQP broker with the whole of Erlang (60 MB), and hosts of their own for the chain's test. The broker is
# neither started nor enabled: tests start one of their own.
tools/apt-install.sh rabbitmq-server iproute2 ||
    echo "test-tools: the tests with a broker or with several hosts are skipped, by name" >&2

# From npm, into .venv, once for each: Microsoft's emulator of Azure Storage (190 MB, some 15 s) and a small server of
# CouchDB's protocol (44 MB, 30 s).
node=.venv/node
missing() { echo "missing: $1 ($2)
test-tools: the tests that need it are skipped, by name" >&2; }
from_npm() {  # NAME VERSION
    [ "$(cat "$node/$1" 2>/dev/null)" = "$2" ] && return
    [ "${TEST_INSTALL:-yes}" != no ] || { missing "$1" "TEST_INSTALL=no"; return; }
    command -v npm >/dev/null || { missing "$1" "npm is not there"; return; }
    mkdir -p "$node"
    timeout 300 npm install --prefix "$node" --ignore-scripts --no-audit --no-fund --no-package-lock \
        --loglevel=error "$1@$2" >/dev/null </dev/null || { missing "$1" "npm could not install it"; return; }
    echo "$2" >"$node/$1"
}
from_npm azurite 3.37.0
from_npm pouchdb-server 4.2.0
exit 0
