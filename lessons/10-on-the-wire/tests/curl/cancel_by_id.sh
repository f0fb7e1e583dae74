#!/usr/bin/env bash
# curl, HTTP 2025-11-25: cancel a call by its request id, from a second curl.
#
#     bash cancel_by_id.sh http://localhost:8000/mcp
set -euo pipefail
url=$1

# POSTs a message and prints what comes back, as it comes.
post() {
    curl --silent --show-error --fail --no-buffer --max-time 60 "$url" \
        --header 'Content-Type: application/json' \
        --header 'Accept: application/json, text/event-stream' "${@:2}" --data "$1"
}

# A session: its id comes in a header of the first answer and goes with every message.
session=$(post '{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25",
    "capabilities":{},"clientInfo":{"name":"curl","version":"8"}}}' --dump-header - |
    tr -d '\r' | awk 'tolower($1) == "mcp-session-id:" { print $2 }')
in_session=(--header "Mcp-Session-Id: $session" --header 'MCP-Protocol-Version: 2025-11-25')
post '{"jsonrpc":"2.0","method":"notifications/initialized"}' "${in_session[@]}"

# The call, with the request id 1, runs in the background. Its events are read while it runs.
exec 3< <(post '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{
    "name":"process_large_file","arguments":{"filename":"large_dataset.csv","processing_time":100},
    "_meta":{"progressToken":1}}}' "${in_session[@]}")
until [[ ${line-} == *notifications/progress* ]]; do read -r line <&3; done

# The cancel names the request. 1 is a number, as in the call: "1" would be another id.
post '{"jsonrpc":"2.0","method":"notifications/cancelled",
    "params":{"requestId":1,"reason":"stop, says curl"}}' "${in_session[@]}"

# The call's own stream ends with an error.
until [[ $line == *'"id":1'* ]]; do read -r line <&3; done
sed -E 's/.*"code":(-?[0-9]+),"message":"([^"]*)".*/caller: error \1: \2/' <<< "$line"

# Only the server knows whether its tool has stopped.
list='{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"list_calls"}}'
until calls=$(post "$list" "${in_session[@]}"); [[ $calls != *'"state":"running"'* ]]; do sleep 0.1; done
state=$(grep --only-matching '"state":"[a-z]*"' <<< "$calls" | tail -n 1 | cut -d '"' -f 4)
reason=$(grep --only-matching '"reason":\("[^"]*"\|null\)' <<< "$calls" | tail -n 1 | cut -d : -f 2-)
echo "server: $state, reason $reason"
