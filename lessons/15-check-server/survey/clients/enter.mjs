// What the TypeScript clients of the survey share: PROGRAM SERVER [stop|close|wait [SECONDS]]
//
// SERVER is a URL, or a program that speaks on stdio. When Enter is pressed, the signal is aborted
// (stop), or the client is closed (close). `wait` waits for the call, its timeout, or Ctrl-C.
import { once } from 'node:events';

export const name = 'process_large_file';
export const args = { filename: 'large_dataset.csv', processing_time: 24 };
export const [server, way = 'stop', seconds = 60] = process.argv.slice(2);
export const http = server.startsWith('http');

/** Waits for the call, or leaves it in its way. Says what the caller is told. */
export async function stopOnEnter(call, close) {
    const controller = new AbortController();
    const enter = () => once(process.stdin, 'data');
    const told = call(controller.signal).then(JSON.stringify, String);
    if (way === 'close') {
        await enter();
        await close();
        console.log('told: the client is closed');
    } else {
        if (way === 'stop') enter().then(() => controller.abort('stop, says the user'));
        console.log('told:', await told);
    }
    // The program stays open, as a chat does.
    await enter();
    process.exit(0);
}
