// The AI SDK: node ai_sdk.mjs URL [SECONDS]
import { createMCPClient } from '@ai-sdk/mcp';
import { args, name, seconds, stopOnEnter, url } from './enter.mjs';

const client = await createMCPClient({ transport: { type: 'http', url } });
const { [name]: tool } = await client.tools();
// A timeout is a signal: `generateText({ timeout })` makes one of it, too.
const late = AbortSignal.timeout(seconds * 1000);
await stopOnEnter(signal => tool.execute(args, { toolCallId: '1', messages: [], abortSignal: AbortSignal.any([signal, late]) }));
