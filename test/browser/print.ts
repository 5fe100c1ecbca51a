/** In a worker: posts the lines that a program prints while its module is loaded. */
export function postPrinted(program: () => Promise<unknown>): void {
  const lines: string[] = [];
  console.log = (...values: unknown[]) => lines.push(values.join(" "));
  program().then(() => postMessage(lines), reportError);
}
