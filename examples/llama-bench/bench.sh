#!/usr/bin/env bash
# llama-bench on as many threads as this worker has cpus: each time a prompt of 128 tokens and 64 new ones. It says each
# with a line of JSON when it is done, so that --throughput-regex can count them.
set -euo pipefail
model=$1 times=${2:-20}
for ((i = 0; i < times; i++)); do tests+=(-pg 128,64); done
exec llama-bench -m "$model" -t "$(nproc)" -p 0 -n 0 "${tests[@]}" -r 1 --no-warmup -o jsonl
