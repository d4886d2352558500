#!/bin/sh
# every_second.sh COMMAND…   as people write it: the command, a second's sleep, the command …
while :; do
    "$@"
    sleep 1
done
