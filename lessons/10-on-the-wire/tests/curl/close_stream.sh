#!/usr/bin/env bash
# curl, HTTP 2026-07-28: cancel a call by closing its response stream.
#
#     bash close_stream.sh http://localhost:8000/mcp
set -euo pipefail
url=$1

# POSTs a tool call and prints what comes back, as it comes. There is no session: each request
# says who speaks which revision. `exec`: the background process below is then curl itself.
call_tool() {
    exec curl --silent --show-error --fail --no-buffer --max-time 60 "$url" \
        --header 'Content-Type: application/json' \
        --header 'Accept: application/json, text/event-stream' \
        --header 'MCP-Protocol-Version: 2026-07-28' \
        --header 'Mcp-Method: tools/call' --header "Mcp-Name: $1" \
        --data '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"'"$1"'","arguments":'"$2"',
            "_meta":{"progressToken":1,
                "io.modelcontextprotocol/protocolVersion":"2026-07-28",
                "io.modelcontextprotocol/clientInfo":{"name":"curl","version":"8"},
                "io.modelcontextprotocol/clientCapabilities":{}}}}'
}

# The call runs in the background. Its events are read here, while it runs.
exec 3< <(call_tool process_large_file '{"filename":"large_dataset.csv","processing_time":100}')
curl=$!
until [[ ${line-} == *notifications/progress* ]]; do read -r line <&3; done

# Ending curl closes its connection, and that is the cancel: nothing is sent, nothing comes.
kill "$curl"
echo "caller: $(grep --count '"id":1' <&3) answers"

# Only the server knows whether its tool has stopped.
until calls=$(call_tool list_calls '{}'); [[ $calls != *'"state":"running"'* ]]; do sleep 0.1; done
state=$(grep --only-matching '"state":"[a-z]*"' <<< "$calls" | tail -n 1 | cut -d '"' -f 4)
reason=$(grep --only-matching '"reason":\("[^"]*"\|null\)' <<< "$calls" | tail -n 1 | cut -d : -f 2-)
echo "server: $state, reason $reason"
