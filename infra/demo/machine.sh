#!/bin/sh
# Say at once, before anything is installed, which embedded part this machine cannot run.
set -eu
machine="$(uname -s) $(uname -m)"
[ "$machine" = "Linux x86_64" ] && exit 0
missing=0
need() {
    eval "given=\${$1:-}"
    [ -n "$given" ] && return
    echo "tidegauge: $2 needs Linux x86_64, this is $machine: set $1 to one of yours" >&2
    missing=1
}
need KAFKA_BOOTSTRAP_SERVERS "the embedded Kafka-compatible broker"
need TIDEGAUGE_UPSTREAM_URL "the embedded vLLM server with the application's model"
need TIDEGAUGE_JUDGE_URL "the embedded vLLM server with the judge"
exit $((2 * missing))
