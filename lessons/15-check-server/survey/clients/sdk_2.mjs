// TypeScript SDK 2.x: node sdk_2.mjs URL [SECONDS]
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { args, name, seconds, stopOnEnter, url } from './enter.mjs';

const client = new Client({ name: 'survey', version: '1.0.0' }, { versionNegotiation: { mode: 'auto' } });
await client.connect(new StreamableHTTPClientTransport(new URL(url)));
const timeout = seconds * 1000;
await stopOnEnter(signal => client.callTool({ name, arguments: args }, { signal, timeout }));
