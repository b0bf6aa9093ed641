#!/usr/bin/env bash
# Any program in any language can be measured: it writes JSON lines to the descriptor in IPEXLAUNCH_STATUS_FD and reads
# the start from it (docs/worker-protocol.md). This one compresses a text with gzip; on its own it does just that.
set -euo pipefail
text=$(dirname "${BASH_SOURCE[0]}")/sentences.txt
status=${IPEXLAUNCH_STATUS_FD:-}

tell() { if [ -n "$status" ]; then printf '%s\n' "$1" >&"$status"; fi; }
wait_for() {
    local line=
    if [ -n "$status" ]; then until [[ $line == *"\"$1\""* ]]; do read -r line <&"$status"; done; fi
}

gzip -9 <"$text" >/dev/null # the warm-up
tell '{"event": "ready"}'
wait_for go
for ((done = 0; done < ${1:-400}; done++)); do
    gzip -9 <"$text" >/dev/null
    tell '{"event": "progress", "items": 1}'
done
tell '{"event": "finished"}'
wait_for exit
echo "compressed $((done * $(wc -c <"$text") / 1000)) kB"
