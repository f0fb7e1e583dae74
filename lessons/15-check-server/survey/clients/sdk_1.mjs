// TypeScript SDK 1.x
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { args, http, name, seconds, server, stopOnEnter } from './enter.mjs';

const client = new Client({ name: 'survey', version: '1.0.0' });
await client.connect(http ? new StreamableHTTPClientTransport(new URL(server)) : new StdioClientTransport({ command: server }));
const timeout = seconds * 1000;
await stopOnEnter(signal => client.callTool({ name, arguments: args }, undefined, { signal, timeout }), () => client.close());
