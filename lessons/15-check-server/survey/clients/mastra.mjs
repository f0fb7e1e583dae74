// Mastra: node mastra.mjs URL [SECONDS]
import { MCPClient } from '@mastra/mcp';
import { args, name, seconds, stopOnEnter, url } from './enter.mjs';

const client = new MCPClient({ servers: { server: { url: new URL(url) } }, timeout: seconds * 1000 });
const tools = await client.listTools();
await stopOnEnter(abortSignal => tools[`server_${name}`].execute(args, { abortSignal }));
