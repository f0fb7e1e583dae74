// A minimal server on the TypeScript SDK 2.x.
import { McpServer } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { done, tools } from './tools.mjs';

const server = new McpServer({ name: 'minimal', version: '1.0.0' });
for (const [name, work] of Object.entries(tools)) {
    server.registerTool(name, {}, async ({ mcpReq: { signal } }) => {
        await work(signal);
        return done;
    });
}
serveStdio(() => server);
