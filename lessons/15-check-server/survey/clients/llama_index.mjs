// LlamaIndex, whose tools take no signal: node llama_index.mjs URL
import { mcp } from '@llamaindex/tools';
import { args, name, stopOnEnter, url } from './enter.mjs';

const server = mcp({ url, useSSETransport: false });
const tools = await server.tools();
const tool = tools.find(tool => tool.metadata.name === name);
const aborted = signal => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
await stopOnEnter(signal => Promise.race([tool.call(args), aborted(signal)]));
