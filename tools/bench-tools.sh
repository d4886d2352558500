#!/bin/sh
# tools/bench-tools.sh   the programs from Debian that the benchmarks use: the null sink, wrk, inotifywait.
# Root on Debian: installs what is missing. Anyone else: says what is missing; the table then has named gaps. Always exits 0.
cd "$(dirname "$0")/.." || exit 1
tools/apt-install.sh nginx-light libnginx-mod-http-lua openssl inotify-tools wrk ||
    echo "bench-tools: what needs them is not measured, and the table says so" >&2
