#!/usr/bin/env python3
"""Publishes one event for everybody, with nothing but Python's standard library.

    realtime dev --json > dev.json &
    export REALTIME_ENDPOINT=$(jq -r .endpoint dev.json) REALTIME_API_KEY=$(jq -r .apiKey dev.json)
    python3 examples/publish.py
"""

import json
import os
import sys
import urllib.error
import urllib.request

endpoint = os.environ.get("REALTIME_ENDPOINT", "http://127.0.0.1:8080/v1")
project = os.environ.get("REALTIME_PROJECT", "demo")
key = os.environ.get("REALTIME_API_KEY") or sys.exit("set REALTIME_API_KEY; realtime dev prints one")


def publish(event):
    request = urllib.request.Request(
        f"{endpoint}/realtime/events",
        data=json.dumps(event).encode(),
        headers={
            "Content-Type": "application/json",
            "X-Appwrite-Project": project,
            "X-Appwrite-Key": key,
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        # The answer says what is wrong with the request.
        sys.exit(f"{error}: {error.read().decode()}")


print(json.dumps(publish({"channels": ["documents"], "roles": ["any"], "payload": {"hello": "from Python"}})))
