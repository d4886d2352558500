#!/bin/sh
# each_moved_in.sh DIRECTORY TARGET COMMAND…   as people write it: inotifywait tells a name, COMMAND FILE TARGET sends it.
directory=$1 target=$2
shift 2
inotifywait -m -q -e moved_to --format '%f' "$directory" | while IFS= read -r name; do
    "$@" "$directory/$name" "$target"
done
