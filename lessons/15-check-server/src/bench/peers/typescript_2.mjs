// The probe over HTTP, with progress and a stamp: TypeScript SDK 2.x.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { toNodeHandler } from '@modelcontextprotocol/node';
import * as mcp from '@modelcontextprotocol/server';
import { z } from 'zod';

const inputSchema = z.object({ id: z.string(), steps: z.number().default(200), step_ms: z.number().default(50), ask: z.boolean().default(false) });
const runs = new Map();

async function cancelProbe({ id, steps, step_ms, ask }, { mcpReq: { signal, _meta, notify } }) {
    const run = ask ? (runs.get(id) ?? {}) : { running: true, ticks: 0, cancelled: false, stopped_at: null };
    if (!ask) {
        runs.set(id, run);
        const progressToken = _meta?.progressToken;
        if (progressToken !== undefined) {
            await notify({ method: 'notifications/progress', params: { progressToken, progress: 0, total: steps } });
        }
        // The signal ends the wait at once.
        while (run.ticks < steps && !signal.aborted) await sleep(step_ms, undefined, { signal }).then(() => run.ticks++, () => {});
        const stopped_at = (performance.timeOrigin + performance.now()) / 1000;
        Object.assign(run, { running: false, cancelled: signal.aborted, stopped_at });
    }
    return { content: [{ type: 'text', text: JSON.stringify(run) }] };
}

function newServer() {
    const server = new mcp.McpServer({ name: 'bench', version: '1.0.0' });
    server.registerTool('cancel_probe', { inputSchema }, cancelProbe);
    return server;
}

// 2025-11-25 has sessions, 2026-07-28 has none.
const sessions = new Map();
const stateless = mcp.createMcpHandler(newServer, { legacy: 'reject' });
async function fetch(request) {
    if (!(await mcp.isLegacyRequest(request))) return stateless.fetch(request);
    const known = sessions.get(request.headers.get('mcp-session-id'));
    const setup = {
        sessionIdGenerator: randomUUID,
        onsessioninitialized: id => void sessions.set(id, session),
        onsessionclosed: id => void sessions.delete(id),
    };
    const session = known ?? new mcp.WebStandardStreamableHTTPServerTransport(setup);
    if (!known) await newServer().connect(session);
    return session.handleRequest(request);
}
const http = createServer(toNodeHandler({ fetch }));
http.keepAliveTimeout = 60_000;
const { version } = JSON.parse(readFileSync('node_modules/@modelcontextprotocol/server/package.json', 'utf8'));
http.listen(0, '127.0.0.1', 2048, () => console.log(`http://127.0.0.1:${http.address().port}/mcp`, version));
