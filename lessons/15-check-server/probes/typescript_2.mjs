// The probe for the TypeScript SDK 2.x. Paste what stands between the lines into your server.
import { McpServer } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { z } from 'zod';

const server = new McpServer({ name: 'probe', version: '1.0.0' });

// ---- probe
const runs = new Map();
const inputSchema = z.object({ id: z.string(), steps: z.number().default(200), step_ms: z.number().default(50), ask: z.boolean().default(false) });
server.registerTool('cancel_probe', { inputSchema }, async ({ id, steps, step_ms, ask }, { mcpReq: { signal } }) => {
    const run = ask ? (runs.get(id) ?? {}) : { running: true, ticks: 0, cancelled: false, reason: null };
    if (!ask) {
        runs.set(id, run);
        while (run.ticks < steps && !signal.aborted) {
            await new Promise(resolve => setTimeout(resolve, step_ms));
            if (!signal.aborted) run.ticks++;
        }
        const reason = typeof signal.reason === 'string' ? signal.reason : null;
        Object.assign(run, { running: false, cancelled: signal.aborted, reason });
    }
    return { content: [{ type: 'text', text: JSON.stringify(run) }] };
});
// ---- end

serveStdio(() => server);
