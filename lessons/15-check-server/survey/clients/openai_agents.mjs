// OpenAI Agents
import { MCPServerStdio, MCPServerStreamableHttp } from '@openai/agents';
import { args, http, name, seconds, server, stopOnEnter } from './enter.mjs';

const timeout = seconds * 1000;
const mcp = http ? new MCPServerStreamableHttp({ url: server, timeout }) : new MCPServerStdio({ command: server, timeout });
await mcp.connect();
await stopOnEnter(signal => mcp.callTool(name, args, undefined, { signal }), () => mcp.close());
