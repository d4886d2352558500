#!/bin/bash
# tools/test.sh [ARGUMENTS OF PYTEST]   all tests, or with -k, -m or paths some of them.
# All of them wait for servers, timeouts and leases half of their time: so they run as two halves at once, what the second
# one says comes at the end. Exits 0 only if both passed. JOBS=1: one after the other.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
pytest=(.venv/bin/python -m pytest)

some=
for word; do
    case $word in -k* | -m* | --lf | --ff | --last-failed | --failed-first | --co* | --pdb | [!-]*) some=yes ;; esac
done
if [ -n "$some" ] || [ "${JOBS:-2}" = 1 ]; then
    exec "${pytest[@]}" "$@"
fi

# About as long, in seconds: what is real, and the rest. A new directory of tests is in the rest.
first=(tests/real tests/sources tests/service)
rest=()
for path in "${first[@]}"; do
    rest+=("--ignore=$path")
done
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'kill -INT -- "-$other" 2>/dev/null; wait; exit 130' INT TERM HUP
echo "Two halves at once; what ${first[*]} say comes at the end."
set -m  # a group of its own, for else its children would not hear of SIGINT, which some tests send them
"${pytest[@]}" "$@" "${first[@]}" >"$scratch/told" 2>&1 </dev/null &
other=$!
set +m
failed=0
"${pytest[@]}" "$@" "${rest[@]}" || failed=1
echo "== ${first[*]}"
wait "$other" || failed=1
cat "$scratch/told"
exit "$failed"
