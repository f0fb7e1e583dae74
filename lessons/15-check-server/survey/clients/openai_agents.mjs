// OpenAI Agents: node openai_agents.mjs URL [SECONDS]
import { MCPServerStreamableHttp } from '@openai/agents';
import { args, name, seconds, stopOnEnter, url } from './enter.mjs';

const server = new MCPServerStreamableHttp({ url, timeout: seconds * 1000 });
await server.connect();
await stopOnEnter(signal => server.callTool(name, args, undefined, { signal }));
