// SPDX-License-Identifier: MIT

export type ConnectionState =
  | 'idle' | 'connecting' | 'open' | 'reconnecting' | 'offline' | 'failed' | 'closed';

export interface StateEvent {
  state: ConnectionState;
  previous: ConnectionState;
  /** The try that runs or comes next; 1 is the first after a loss. */
  attempt: number;
  /** How long until that try, and when it is (Unix time, ms). Absent while a try is under way. */
  delayMs?: number;
  retryAt?: number;
  /** The last close code, and its reason word (or `retries`, `bad_url`, `page_hidden`). */
  code?: number;
  reason?: string;
}

export interface Clock {
  now(): number;
  setTimeout(fn: () => void, ms: number): unknown;
  clearTimeout(timer: any): void;
}

export type PageEvent =
  'visible' | 'hidden' | 'online' | 'offline' | 'pagehide' | 'pageshow' | 'wake';

export interface Page {
  visible(): boolean;
  online(): boolean;
  listen(listener: (event: PageEvent) => void): () => void;
}

export interface QueueLimits {
  /** Default 100. */
  messages?: number;
  /** Default 65536, of UTF-8. */
  bytes?: number;
  /** Default 240000. Above the gateway's dedupe window (5 min) a resend could be said twice. */
  maxAgeMs?: number;
}

export interface Options {
  user: string;
  /** Full jitter: min + random(0, min(max, min * 2^n)). Default 500 and 20000. */
  minDelayMs?: number;
  maxDelayMs?: number;
  /** Default Infinity. After the last failed try the state is `failed` until reconnect(). */
  maxRetries?: number;
  /** Default 10000. */
  connectTimeoutMs?: number;
  /** Default 10000. A message without an answer for so long is sent again, with its key. */
  ackTimeoutMs?: number;
  /** Slack over the gateway's heartbeat before the link is called dead. Default 10000. */
  maxPingDelayMs?: number;
  /** Measure the round trip this often; 0, the default: once per connection. */
  latencyIntervalMs?: number;
  /** Messages kept while they cannot be sent; false: they are refused at once. */
  queue?: false | QueueLimits;
  /** Where the queue survives a refresh, for example sessionStorage. */
  storage?: Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;
  storageKey?: string;
  /**
   * Follow the page's life: no tries while hidden or offline. Default true where there is a page.
   */
  pageEvents?: boolean;
  protocols?: string[];
  logger?: (level: 'debug' | 'info' | 'warn' | 'error', message: string, data?: unknown) => void;
  /** The world, for tests and for runtimes without it. */
  WebSocket?: new (url: string, protocols?: string | string[]) => any;
  /** Asks why a socket was refused, same origin only; false: never. Default globalThis.fetch. */
  fetch?: false | typeof globalThis.fetch;
  clock?: Clock;
  random?: () => number;
  page?: Page;
}

export interface Message {
  room: string;
  from: string;
  text: string;
  /** Unix time in seconds, by the gateway. */
  ts?: number;
  /** From another client; trust nothing in it. */
  meta?: Record<string, unknown>;
  offset?: number;
  epoch?: string;
  /** Said by our user, on this page or another one. */
  mine: boolean;
  /** The key it was sent with, when it was sent by this client. */
  key?: string;
}

export interface DirectMessage {
  from: string;
  to?: string;
  text: string;
  ts?: number;
  meta?: Record<string, unknown>;
}

export interface Member {
  user: string;
  connections: number;
}

/** Messages from..to (offsets, 0: unknown) are lost to this client. */
export interface Gap {
  from: number;
  to: number;
  why: 'history' | 'slow' | 'reset' | 'lost';
}

export interface Unsent {
  key: string;
  kind: 'chat' | 'direct';
  /** The room, or the user. */
  to: string;
  text: string;
  /** When it was written, Unix time in milliseconds. */
  at: number;
}

export interface Delivery extends Unsent {
  state: 'waiting' | 'sending' | 'delivered' | 'failed';
  offset?: number;
  epoch?: string;
  ts?: number;
  error?: ParleyError;
}

export interface Sent {
  key: string;
  /** The room, or the user of a direct message. */
  room: string;
  offset?: number;
  epoch?: string;
  ts?: number;
}

export interface SendOptions {
  /** At most 64 bytes; made when left out. The same key is never published twice. */
  key?: string;
  meta?: Record<string, unknown>;
  /** Takes the message back while it still waits. */
  signal?: AbortSignal;
}

export interface ClientEvents {
  state: StateEvent;
  welcome: { connection: string; gateway: string | null; heartbeatSeconds?: number };
  direct: DirectMessage;
  delivery: Delivery;
  queue: { pending: number };
  latency: { rttMs: number };
  bye: { reason: string; reconnectInMs?: number };
  error: ParleyError;
  frames: { direction: 'in' | 'out'; text: string; at: number };
}

export interface RoomEvents {
  message: Message;
  /** After every welcome, the first and those after a reconnect. */
  joined: { online: number; recovered: boolean };
  left: { reason: string };
  /** A user's first connection came, or the last one went. */
  memberJoin: { user: string };
  memberLeave: { user: string };
  members: ReadonlyMap<string, Member>;
  online: { online: number };
  typing: { user: string; active: boolean };
  signal: { from: string; kind: string; meta?: Record<string, unknown> };
  gap: Gap;
  /** The gateway refused the room. */
  error: ParleyError;
}

export interface ListenOptions {
  once?: boolean;
  signal?: AbortSignal;
}

export type Unsubscribe = () => void;

export declare class ParleyError extends Error {
  constructor(code: string, message: string, retryAfterMs?: number);
  readonly code: string;
  readonly temporary: boolean;
  readonly retryAfterMs?: number;
}

export interface Room {
  readonly name: string;
  readonly state: 'detached' | 'joining' | 'joined' | 'denied';
  /** Connections, on all gateways: the truth. 0: this room does not count them. */
  readonly online: number;
  readonly members: ReadonlyMap<string, Member>;
  /** `members` is a sample of a large room, or empty because the room names nobody. */
  readonly partial: boolean;
  readonly epoch?: string;
  readonly offset?: number;
  join(options?: { history?: number }): Promise<void>;
  leave(): Promise<void>;
  send(text: string, options?: SendOptions): Promise<Sent>;
  signal(kind: string, meta?: Record<string, unknown>): boolean;
  typing(active?: boolean): void;
  history(options?: { limit?: number; before?: number }):
    Promise<{ messages: Message[]; more: boolean }>;
  presence(): Promise<Member[]>;
  on<K extends keyof RoomEvents>(event: K, listener: (value: RoomEvents[K]) => void,
    options?: ListenOptions): Unsubscribe;
  [Symbol.asyncIterator](): AsyncIterableIterator<Message>;
}

export declare class Parley {
  constructor(url: string | URL | (() => string | Promise<string>), options: Options);
  readonly user: string;
  readonly state: ConnectionState;
  readonly connectionId: string | null;
  readonly gateway: string | null;
  readonly latencyMs: number | null;
  readonly pending: number;
  readonly unsent: Unsent[];
  readonly rooms: ReadonlyMap<string, Room>;
  connect(): Promise<void>;
  reconnect(): void;
  close(code?: number, reason?: string): void;
  ready(timeoutMs?: number): Promise<void>;
  room(name: string): Room;
  /** A direct message. */
  send(user: string, text: string, options?: SendOptions): Promise<Sent>;
  ping(): Promise<number>;
  on<K extends keyof ClientEvents>(event: K, listener: (value: ClientEvents[K]) => void,
    options?: ListenOptions): Unsubscribe;
}

export declare function fullJitter(attempt: number, minMs: number, maxMs: number,
  random?: () => number): number;
export declare function browserPage(scope?: any, clock?: Clock): Page;
