// TypeScript SDK 2.x
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { args, http, name, seconds, server, stopOnEnter } from './enter.mjs';

const client = new Client({ name: 'survey', version: '1.0.0' }, { versionNegotiation: { mode: 'auto' } });
await client.connect(http ? new StreamableHTTPClientTransport(new URL(server)) : new StdioClientTransport({ command: server }));
const timeout = seconds * 1000;
await stopOnEnter(signal => client.callTool({ name, arguments: args }, { signal, timeout }), () => client.close());
