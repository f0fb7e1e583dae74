// What the TypeScript clients of the survey share: a user who presses Enter.

export const name = 'process_large_file';
export const args = { filename: 'large_dataset.csv', processing_time: 24 };
export const [url, seconds = 60] = process.argv.slice(2);

/** Waits for the call. If Enter is pressed first, aborts its signal. Prints what the caller is told. */
export async function stopOnEnter(call) {
    const controller = new AbortController();
    process.stdin.once('data', () => controller.abort('stop, says the user'));
    try {
        console.log('told:', JSON.stringify(await call(controller.signal)));
    } catch (error) {
        console.log('told:', String(error));
    }
    // The program stays open, as a chat does.
    await new Promise(resolve => process.stdin.once('data', resolve));
    process.exit(0);
}
