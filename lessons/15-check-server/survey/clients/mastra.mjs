// Mastra
import { MCPClient } from '@mastra/mcp';
import { args, http, name, seconds, server, stopOnEnter } from './enter.mjs';

const servers = { server: http ? { url: new URL(server) } : { command: server } };
const client = new MCPClient({ servers, timeout: seconds * 1000 });
const { [`server_${name}`]: tool } = await client.listTools();
await stopOnEnter(abortSignal => tool.execute(args, { abortSignal }), () => client.disconnect());
