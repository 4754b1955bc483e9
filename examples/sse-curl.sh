#!/bin/sh
# Prints events as server-sent events, until Ctrl-C. Channels are the arguments; `documents` without any.
#
#   realtime dev --json > dev.json &
#   export REALTIME_ENDPOINT=$(jq -r .endpoint dev.json)
#   examples/sse-curl.sh documents files
#   REALTIME_JWT=$(jq -r .user.jwt dev.json) examples/sse-curl.sh account
set -eu
endpoint=${REALTIME_ENDPOINT:-http://127.0.0.1:8080/v1}
project=${REALTIME_PROJECT:-demo}

[ $# -gt 0 ] || set -- documents
query="project=$project"
for channel in "$@"; do
    query="$query&channels[]=$channel"
done
# The token goes in a header, where no access log keeps it.
exec curl --silent --show-error --no-buffer --globoff "$endpoint/realtime?$query" \
    --header 'Accept: text/event-stream' ${REALTIME_JWT:+--header "X-Appwrite-JWT: $REALTIME_JWT"}
