// TypeScript SDK 1.x: cancel a call with an AbortSignal.
//     node abort_1.mjs http://localhost:8000/mcp
//     node abort_1.mjs target/debug/basic-cancel serve --transport stdio

import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const [server, ...args] = process.argv.slice(2);
const transport = server.startsWith('http')
    ? new StreamableHTTPClientTransport(new URL(server))
    : new StdioClientTransport({ command: server, args });
const client = new Client({ name: 'abort', version: '1.0.0' });
await client.connect(transport);

// Whoever holds the controller can cancel: here it is the first news of progress.
const controller = new AbortController();
const options = { signal: controller.signal, onprogress: () => controller.abort('stop, says TypeScript') };
const call = { name: 'process_large_file', arguments: { filename: 'large_dataset.csv', processing_time: 100 } };
try {
    console.log('caller:', await client.callTool(call, undefined, options));
} catch (error) {
    console.log(`caller: ${error.constructor.name}: ${error.message}`);
}

// That was our own side. Only the server knows whether its tool has stopped.
let last = { state: 'running' };
for (let tries = 0; tries < 100 && last.state === 'running'; tries++) {
    last = (await client.callTool({ name: 'list_calls' })).structuredContent.calls.at(-1);
    await sleep(50);
}
console.log(`server: ${last.state}, reason ${JSON.stringify(last.reason)}`);
await client.close();
