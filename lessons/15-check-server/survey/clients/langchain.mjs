// LangChain
import { MultiServerMCPClient } from '@langchain/mcp-adapters';
import { args, http, name, seconds, server, stopOnEnter } from './enter.mjs';

const stdio = { transport: 'stdio', command: server, args: [] };
const client = new MultiServerMCPClient({ server: http ? { transport: 'http', url: server } : stdio });
const tools = await client.getTools();
const tool = tools.find(tool => tool.name === name);
const timeout = seconds * 1000;
await stopOnEnter(signal => tool.invoke(args, { signal, timeout }), () => client.close());
