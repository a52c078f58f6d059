/** A promise that the test settles. */
export class Gate<T = void> {
  readonly opened: Promise<T>;
  open: (value: T) => void = () => undefined;
  fail: (error: unknown) => void = () => undefined;

  constructor() {
    this.opened = new Promise((resolve, reject) => {
      this.open = resolve;
      this.fail = reject;
    });
    this.opened.catch(() => undefined);
  }
}
