// The AI SDK
import { createMCPClient } from '@ai-sdk/mcp';
import { Experimental_StdioMCPTransport as Stdio } from '@ai-sdk/mcp/mcp-stdio';
import { args, http, name, seconds, server, stopOnEnter } from './enter.mjs';

const transport = http ? { type: 'http', url: server } : new Stdio({ command: server });
const client = await createMCPClient({ transport });
const { [name]: tool } = await client.tools();
// A timeout is a signal: `generateText({ timeout })` makes one of it, too.
const late = AbortSignal.timeout(seconds * 1000);
const options = signal => ({ toolCallId: '1', messages: [], abortSignal: AbortSignal.any([signal, late]) });
await stopOnEnter(signal => tool.execute(args, options(signal)), () => client.close());
