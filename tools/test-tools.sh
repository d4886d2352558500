#!/bin/sh
# tools/test-tools.sh   the programs that the tests use as producers and as witnesses.
# Root on Debian: installs what is missing. Anyone else: says which tests will be skipped. Always exits 0.
cd "$(dirname "$0")/.." || exit 1
tools/apt-install.sh openssh-server openssh-client openssh-sftp-server rsync curl strace procps ||
    echo "test-tools: the tests that need them are skipped, by name" >&2
