// The tools of the minimal TypeScript servers: as one writes them, and mended by the signal.
import { exec, execSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const CHILD = 'for i in $(seq 80); do echo step >> "$STEPS"; sleep 0.25; done';
const step = () => appendFileSync(process.env.STEPS, 'step\n');

async function awaits() {
    for (let i = 0; i < 80; i++) {
        step();
        await sleep(250);
    }
}

async function awaits_mended(signal) {
    for (let i = 0; i < 80 && !signal.aborted; i++) {
        step();
        await sleep(250, undefined, { signal });
    }
}

async function blocks() {
    execSync(CHILD);
}

async function child() {
    await promisify(exec)(CHILD);
}

async function child_mended(signal) {
    // A group of its own, so that what the shell has started ends too.
    const shell = spawn('sh', ['-c', CHILD], { detached: true, stdio: 'ignore' });
    const stop = () => process.kill(-shell.pid, 'SIGKILL');
    signal.addEventListener('abort', stop);
    await once(shell, 'exit');
    signal.removeEventListener('abort', stop);
}

export const tools = { awaits, blocks, child, awaits_mended, child_mended };
export const done = { content: [{ type: 'text', text: 'done' }] };
