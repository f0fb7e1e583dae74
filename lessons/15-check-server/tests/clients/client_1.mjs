// TypeScript SDK 1.x, judged by `mcp-cancel-check client`: node client_1.mjs URL
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const client = new Client({ name: 'judged', version: '1.0.0' });
await client.connect(new StreamableHTTPClientTransport(new URL(process.argv[2])));
await client.callTool({ name: 'answer' });
for (const name of ['cancel_me', 'answer_late']) {
    const controller = new AbortController();
    const options = { signal: controller.signal, onprogress: () => controller.abort('enough') };
    await client.callTool({ name }, undefined, options).catch(() => {});
}
await client.callTool({ name: 'time_out' }, undefined, { timeout: 1000 }).catch(() => {});
for (const name of ['keep_alive', 'never_end']) {
    const limits = { timeout: 1000, resetTimeoutOnProgress: true, maxTotalTimeout: 4000 };
    await client.callTool({ name }, undefined, { ...limits, onprogress: () => {} }).catch(() => {});
}
await client.callTool({ name: 'report' });
process.exit(0);
