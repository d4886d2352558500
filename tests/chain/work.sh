#!/bin/sh
# work.sh ITEM   what a worker of the chain does: the digest of the item becomes an item of the spool $RESULTS, under
# the item's name and ".sha256", so a repeat makes the same one. $LOG gets a line for each time.
set -eu
result=$RESULTS/incoming/$JOLLYAE_NAME.sha256
sum=$(sha256sum <"$1")
mkdir -p "${result%/*}"
echo "$JOLLYAE_NAME" >>"$LOG"
printf '%s\n' "${sum%% *}" >"$RESULTS/tmp/$$"
mv "$RESULTS/tmp/$$" "$result"
