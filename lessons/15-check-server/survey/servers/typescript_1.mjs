// A minimal server on the TypeScript SDK 1.x.
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { done, tools } from './tools.mjs';

const server = new McpServer({ name: 'minimal', version: '1.0.0' });
for (const [name, work] of Object.entries(tools)) {
    server.registerTool(name, {}, async ({ signal }) => {
        await work(signal);
        return done;
    });
}
await server.connect(new StdioServerTransport());
