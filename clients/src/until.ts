/** Waits for what is on its way, and gives up when that has taken far too long. */
export async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`still not: ${String(condition)}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
