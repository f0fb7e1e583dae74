// LangChain: node langchain.mjs URL [SECONDS]
import { MultiServerMCPClient } from '@langchain/mcp-adapters';
import { args, name, seconds, stopOnEnter, url } from './enter.mjs';

const client = new MultiServerMCPClient({ server: { transport: 'http', url } });
const tools = await client.getTools();
const tool = tools.find(tool => tool.name === name);
const timeout = seconds * 1000;
await stopOnEnter(signal => tool.invoke(args, { signal, timeout }));
