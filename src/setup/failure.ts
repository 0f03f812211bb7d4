/** Why the set-up cannot go on: what was expected and what came, and what the user can do about it. */
export class SetupError extends Error {
  override readonly name: string = 'SetupError';

  /** @param remedy what to do; printed below the message */
  constructor(
    message: string,
    readonly remedy: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
