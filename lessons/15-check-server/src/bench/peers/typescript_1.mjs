// The probe over HTTP, with progress and a stamp: TypeScript SDK 1.x.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { z } from 'zod';

const inputSchema = { id: z.string(), steps: z.number().default(200), step_ms: z.number().default(50), ask: z.boolean().default(false) };
const runs = new Map();

async function cancelProbe({ id, steps, step_ms, ask }, { signal, _meta, sendNotification }) {
    const run = ask ? (runs.get(id) ?? {}) : { running: true, ticks: 0, cancelled: false, stopped_at: null };
    if (!ask) {
        runs.set(id, run);
        const progressToken = _meta?.progressToken;
        if (progressToken !== undefined) {
            await sendNotification({ method: 'notifications/progress', params: { progressToken, progress: 0, total: steps } });
        }
        // The signal ends the wait at once.
        while (run.ticks < steps && !signal.aborted) await sleep(step_ms, undefined, { signal }).then(() => run.ticks++, () => {});
        const stopped_at = (performance.timeOrigin + performance.now()) / 1000;
        Object.assign(run, { running: false, cancelled: signal.aborted, stopped_at });
    }
    return { content: [{ type: 'text', text: JSON.stringify(run) }] };
}

const sessions = new Map();
async function session(request) {
    const known = sessions.get(request.headers['mcp-session-id']);
    if (known) return known;
    const opened = new StreamableHTTPServerTransport({
        sessionIdGenerator: randomUUID,
        onsessioninitialized: id => void sessions.set(id, opened),
        onsessionclosed: id => void sessions.delete(id),
    });
    const server = new McpServer({ name: 'bench', version: '1.0.0' });
    server.registerTool('cancel_probe', { inputSchema }, cancelProbe);
    await server.connect(opened);
    return opened;
}
const http = createServer(async (request, response) => (await session(request)).handleRequest(request, response));
http.keepAliveTimeout = 60_000;
const { version } = JSON.parse(readFileSync('node_modules/@modelcontextprotocol/sdk/package.json', 'utf8'));
http.listen(0, '127.0.0.1', 2048, () => console.log(`http://127.0.0.1:${http.address().port}/mcp`, version));
