// The types of the client; nothing here exists when a program runs.

/** @typedef {"idle" | "connecting" | "connected" | "reconnecting" | "refused" | "closed"} State */
/** @typedef {"left" | "joining" | "joined" | "refused"} ItemState */
/** @typedef {"never" | "token" | "later" | "now"} Retry What to do after a refusal. */
/** @typedef {{ connection: string, subject: string, info?: any }} Member */
/** @typedef {{ item: string, epoch: string, from: number, to: number }} Gap Offsets lost to us. */
/** @typedef {{ request: any, reply: any, errors: string }} AnyRequest */
/** @typedef {{ message: any, requests: Record<string, AnyRequest> }} AnyChannel */
/** @typedef {{ [item: string]: AnyChannel }} AnyChannels */

/**
 * The ids that need no declaration: all of them where a program declares no channels, else none.
 * @template Channels
 * @typedef {string extends keyof Channels ? string : never} Undeclared
 */

/**
 * @template [Data=any]
 * @typedef {{
 *   item: string,
 *   offset?: number,
 *   ephemeral?: true,
 *   sender: string | null,
 *   sent_at: number,
 *   data: Data,
 *   meta?: Record<string, string>,
 *   end?: boolean,
 * }} Message
 */

/**
 * `since` is a position to go on from, `replay` a number of messages to begin with, and `parse`
 * turns what was published into what you want to have.
 * @template [Data=any]
 * @typedef {{ since?: string, replay?: number, parse?: (data: any) => Data }} ItemOptions
 */

/**
 * Why a token is wanted: for the first connection, for another one, because the server refused the
 * last one, or because that of the open connection expires.
 * @typedef {{
 *   reason: "connect" | "reconnect" | "refused" | "refresh",
 *   attempt: number,
 *   signal: AbortSignal,
 * }} TokenRequest
 */

/** @typedef {string | null | undefined} Token None: the session cookie is the credential. */

/** @typedef {{ protocol: string, encode(envelope: any): any, decode(frame: any): any }} Codec */

/**
 * @typedef {{
 *   now(): number,
 *   setTimeout(f: () => void, ms: number): any,
 *   clearTimeout(timer: any): void,
 * }} Clock
 */

/**
 * Listen to whatever says that the program was woken or is being put to sleep; return the end of it.
 * @typedef {(tell: (signal: "wake" | "sleep") => void) => () => void} Signals
 */

/**
 * Times are in milliseconds.
 * @typedef {{
 *   url: string,
 *   token?: Token | ((request: TokenRequest) => Token | Promise<Token>),
 *   backoff?: { base?: number, cap?: number },
 *   timeout?: number,
 *   silence?: number,
 *   queue?: number,
 *   signals?: Signals | false,
 *   batch?: (flush: () => void) => unknown,
 *   codec?: Codec,
 *   WebSocket?: any,
 *   clock?: Clock,
 *   random?: () => number,
 * }} Options
 */

export {};
