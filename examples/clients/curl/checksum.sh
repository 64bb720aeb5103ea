#!/usr/bin/env bash
# Submits a job, waits for its end and prints what it returned: checksum.sh TARGET DIRECTORY
# It needs no .proto file: the server's reflection says what there is. `buf` is one program (pip install buf-bin, npm install
# @bufbuild/buf); grpcurl takes the same requests.
set -euo pipefail
target=${1:-127.0.0.1:50551} directory=${2:-/usr/share}

call() { # METHOD REQUEST
    buf curl --protocol grpc --http2-prior-knowledge --data "$2" "http://$target/headrace.v1.JobService/$1"
}

# The same requestId gives the same job, however often this is sent. An int64 is text in JSON.
request=$(printf '{"requestId": "%s", "spec": {"type": "files.checksum", "labels": {"from": "curl"},
    "parameters": {"path": {"stringValue": "%s"}, "passes": {"intValue": "2"}}}}' "$(cat /proc/sys/kernel/random/uuid)" "$directory")
id=$(call SubmitJob "$request" | sed -n 's/^ *"jobId": "\(.*\)".*/\1/p')
echo "submitted $id" >&2

# WatchJob streams what happens, one JSON object after the other; WaitJob answers when it has ended, or after 60 s.
while job=$(call WaitJob "{\"jobId\": \"$id\"}") || exit; do
    grep -q '"final": true' <<<"$job" && break
done
grep -q '"status": "JOB_STATUS_SUCCEEDED"' <<<"$job" || { echo "$job" >&2; exit 1; }
sed -n '/^ *"result": {/,/}/ s/^ *"stringValue": "\(.*\)".*/\1/p' <<<"$job"
