// TypeScript SDK 2.x: a server whose tool stops when its caller cancels, on both revisions.
//     node server_2.mjs FOLDER    serves the folder's CSV files over HTTP, and prints its URL

import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { toNodeHandler } from '@modelcontextprotocol/node';
import * as mcp from '@modelcontextprotocol/server';
import { z } from 'zod';

const inputSchema = z.object({ filename: z.enum(readdirSync(process.argv[2])), processing_time: z.int().positive() });
const calls = [];

async function processLargeFile({ filename, processing_time: steps }, { mcpReq: { id, _meta, notify, signal } }) {
    const lines = readFileSync(`${process.argv[2]}/${filename}`, 'utf8').trim().split('\n').slice(1);
    const call = { call: calls.length + 1, request_id: id, tool: 'process_large_file', state: 'running', steps_done: 0 };
    calls.push(Object.assign(call, { steps_total: steps, reason: null, started_at: new Date(), ended_at: null }));
    let [rows, fields] = [0, 0];
    const report = async () => {
        const news = { progress: rows, total: lines.length, message: `${rows} of ${lines.length} rows` };
        const params = { progressToken: _meta?.progressToken, ...news };
        if (params.progressToken !== undefined) await notify({ method: 'notifications/progress', params });
    };
    try {
        for (await report(); call.steps_done < steps; await report()) {
            while (rows < (lines.length * (call.steps_done + 1)) / steps) fields += lines[rows++].split(',').length;
            await sleep(100, undefined, { signal }); // how a cancel arrives: the signal ends the wait
            call.steps_done++;
        }
        Object.assign(call, { state: 'finished', ended_at: new Date() });
        return { content: [{ type: 'text', text: `Successfully processed ${filename}: ${fields} fields` }] };
    } catch (error) {
        const reason = typeof signal.reason === 'string' ? signal.reason : null; // a closed stream has none
        Object.assign(call, { state: signal.aborted ? 'cancelled' : 'failed', reason, ended_at: new Date() });
        throw error;
    }
}

function newServer() {
    const server = new mcp.McpServer({ name: 'csv-files', version: '1.0.0' });
    server.registerTool('process_large_file', { inputSchema }, processLargeFile);
    server.registerTool('list_calls', {}, () => ({ content: [], structuredContent: { calls } }));
    return server;
}

// 2025-11-25 has sessions, and a cancel has to reach the session of its call. 2026-07-28 has none.
const sessions = new Map();
const stateless = mcp.createMcpHandler(newServer, { legacy: 'reject' });
async function fetch(request) {
    if (!(await mcp.isLegacyRequest(request))) return stateless.fetch(request);
    const known = sessions.get(request.headers.get('mcp-session-id'));
    const setup = { sessionIdGenerator: randomUUID, onsessioninitialized: id => sessions.set(id, session) };
    const session = known ?? new mcp.WebStandardStreamableHTTPServerTransport(setup);
    if (!known) await newServer().connect(session);
    return session.handleRequest(request);
}
const http = createServer(toNodeHandler({ fetch }));
http.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${http.address().port}/mcp`));
