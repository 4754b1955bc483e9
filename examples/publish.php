<?php
// Publishes one event for everybody, with nothing but PHP itself.
//
//   realtime dev --json > dev.json &
//   export REALTIME_ENDPOINT=$(jq -r .endpoint dev.json) REALTIME_API_KEY=$(jq -r .apiKey dev.json)
//   php examples/publish.php

declare(strict_types=1);

$endpoint = getenv('REALTIME_ENDPOINT') ?: 'http://127.0.0.1:8080/v1';
$project = getenv('REALTIME_PROJECT') ?: 'demo';
$key = getenv('REALTIME_API_KEY') ?: exit("set REALTIME_API_KEY; realtime dev prints one\n");

$event = ['channels' => ['documents'], 'roles' => ['any'], 'payload' => ['hello' => 'from PHP']];

$context = stream_context_create(['http' => [
    'method' => 'POST',
    'header' => [
        'Content-Type: application/json',
        "X-Appwrite-Project: $project",
        "X-Appwrite-Key: $key",
    ],
    'content' => json_encode($event, JSON_THROW_ON_ERROR),
    'timeout' => 10,
    // The answer says what is wrong with the request.
    'ignore_errors' => true,
]]);
$answer = file_get_contents("$endpoint/realtime/events", false, $context);
if ($answer === false || !preg_match('/ 2\d\d /', $http_response_header[0])) {
    fwrite(STDERR, ($http_response_header[0] ?? 'no answer') . ": $answer\n");
    exit(1);
}
echo $answer, "\n";
