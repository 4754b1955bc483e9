#!/bin/sh
# Publishes one event for everybody and one for alice alone.
#
#   realtime dev --json > dev.json &
#   export REALTIME_ENDPOINT=$(jq -r .endpoint dev.json) REALTIME_API_KEY=$(jq -r .apiKey dev.json)
#   examples/publish-curl.sh
set -eu
endpoint=${REALTIME_ENDPOINT:-http://127.0.0.1:8080/v1}
project=${REALTIME_PROJECT:-demo}
: "${REALTIME_API_KEY:?set it to an API key; realtime dev prints one}"

publish() {
    curl --silent --show-error --fail-with-body "$endpoint/realtime/events" \
        --header "X-Appwrite-Project: $project" \
        --header "X-Appwrite-Key: $REALTIME_API_KEY" \
        --data "$1"
    echo
}

# Say where it is heard and by whom …
publish '{"channels":["documents"],"roles":["any"],"payload":{"hello":"world"}}'
# … or say what happened, and the server works out the rest.
publish '{"event":"users.alice.update.name","payload":{"$id":"alice","name":"Alice"}}'
