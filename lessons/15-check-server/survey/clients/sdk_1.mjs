// TypeScript SDK 1.x: node sdk_1.mjs URL [SECONDS]
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { args, name, seconds, stopOnEnter, url } from './enter.mjs';

const client = new Client({ name: 'survey', version: '1.0.0' });
await client.connect(new StreamableHTTPClientTransport(new URL(url)));
const timeout = seconds * 1000;
await stopOnEnter(signal => client.callTool({ name, arguments: args }, undefined, { signal, timeout }));
