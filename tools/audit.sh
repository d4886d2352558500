#!/bin/sh
# tools/audit.sh   asks the package index which known vulnerabilities the locked packages have.
# Exit 1: there are some. 0: there are none; or nobody could be asked, which it says: that is no fault of a change.
cd "$(dirname "$0")/.." || exit 1
report=$(mktemp) || exit 1
trap 'rm -f "$report"' EXIT

for list in requirements/dev.txt requirements/bench.txt; do
    # --disable-pip: the lists are whole and have hashes, so nothing is installed or resolved
    timeout 240 .venv/bin/python -m pip_audit --requirement "$list" --require-hashes --disable-pip --timeout 10 \
        --progress-spinner off --format json --output "$report" 2>/dev/null
    code=$?
    .venv/bin/python - "$list" "$code" "$report" <<'END' || exit 1
import json, sys

where, code, path = sys.argv[1:]
try:
    found = json.load(open(path))["dependencies"]
except ValueError:
    print(f"audit: {where}: NOT audited: the advisories could not be reached (pip-audit ended with {code})")
    sys.exit(0)
asked = [one for one in found if "vulns" in one]
print(f"audit: {where}: {len(asked)} of {len(found)} packages audited" + ("" if asked else ": NOT audited, the index knows none"))
for one in asked:
    for vulnerability in one["vulns"]:
        print(f"  {one['name']} {one['version']}: {vulnerability['id']}, mended in {', '.join(vulnerability['fix_versions'])}")
sys.exit(any(one["vulns"] for one in asked))
END
done
