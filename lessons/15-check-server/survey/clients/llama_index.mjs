// LlamaIndex, whose tools take no signal
import { mcp } from '@llamaindex/tools';
import { args, http, name, server, stopOnEnter } from './enter.mjs';

const client = mcp(http ? { url: server, useSSETransport: false } : { command: server });
const tools = await client.tools();
const tool = tools.find(tool => tool.metadata.name === name);
const aborted = signal => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
await stopOnEnter(signal => Promise.race([tool.call(args), aborted(signal)]), () => client.cleanup());
