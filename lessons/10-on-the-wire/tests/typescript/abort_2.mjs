// TypeScript SDK 2.x: cancel a call with an AbortSignal.
//     node abort_2.mjs 2026-07-28 http://localhost:8000/mcp
//     node abort_2.mjs 2025-11-25 target/debug/basic-cancel serve --transport stdio

import { setTimeout as sleep } from 'node:timers/promises';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

const [revision, server, ...args] = process.argv.slice(2);
const transport = server.startsWith('http')
    ? new StreamableHTTPClientTransport(new URL(server))
    : new StdioClientTransport({ command: server, args });
const mode = revision === '2025-11-25' ? 'legacy' : { pin: revision };
const client = new Client({ name: 'abort', version: '1.0.0' }, { versionNegotiation: { mode } });
await client.connect(transport);

// Whoever holds the controller can cancel: here it is the first news of progress. On HTTP
// 2026-07-28 the SDK closes the response stream, everywhere else it sends `notifications/cancelled`.
const controller = new AbortController();
const options = { signal: controller.signal, onprogress: () => controller.abort('stop, says TypeScript') };
const call = { name: 'process_large_file', arguments: { filename: 'large_dataset.csv', processing_time: 100 } };
try {
    console.log('caller:', await client.callTool(call, options));
} catch (error) {
    console.log(`caller: ${error.constructor.name} ${error.code}: ${error.message}`);
}

// That was our own side. Only the server knows whether its tool has stopped.
let last = { state: 'running' };
for (let tries = 0; tries < 100 && last.state === 'running'; tries++) {
    last = (await client.callTool({ name: 'list_calls' })).structuredContent.calls.at(-1);
    await sleep(50);
}
console.log(`server: ${last.state}, reason ${JSON.stringify(last.reason)}`);
await client.close();
