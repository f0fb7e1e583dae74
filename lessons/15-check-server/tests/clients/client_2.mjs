// TypeScript SDK 2.x, judged by `mcp-cancel-check client`: node client_2.mjs URL REVISION
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

const [url, revision] = process.argv.slice(2);
const mode = revision === '2025-11-25' ? 'legacy' : { pin: revision };
const client = new Client({ name: 'judged', version: '1.0.0' }, { versionNegotiation: { mode } });
await client.connect(new StreamableHTTPClientTransport(new URL(url)));
await client.callTool({ name: 'answer' });
for (const name of ['cancel_me', 'answer_late']) {
    const controller = new AbortController();
    const options = { signal: controller.signal, onprogress: () => controller.abort('enough') };
    await client.callTool({ name }, options).catch(() => {});
}
await client.callTool({ name: 'time_out' }, { timeout: 1000 }).catch(() => {});
for (const name of ['keep_alive', 'never_end']) {
    const limits = { timeout: 1000, resetTimeoutOnProgress: true, maxTotalTimeout: 4000 };
    await client.callTool({ name }, { ...limits, onprogress: () => {} }).catch(() => {});
}
await client.callTool({ name: 'report' });
process.exit(0);
