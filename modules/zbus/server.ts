/** Serves objects of one module on the bus. */
import { type BusLog, closeConnection, parseBroker, pause, silentLog, whenReady } from './broker.ts';
import { Cancels } from './cancels.ts';
import type { InterfaceDefinition, Service } from './definition.ts';
import { type Call, Dispatcher } from './dispatch.ts';
import { WireError } from './errors.ts';
import { decodeRequest, encodeResponse, objectName, queueName, type Request, type Response } from './frames.ts';
import { Instances } from './instances.ts';
import { FRAME_MOST_BYTES, senderOf } from './limits.ts';
import { endOthers, type Line, openLine } from './line.ts';
import { Lanes, Places } from './order.ts';
import { publishStreams } from './publishing.ts';
import { Queue, type Taken } from './queue.ts';
import { BrokerRefusal } from './resp.ts';
import { StatusLoop } from './status.ts';
import type { BusMeter } from './telemetry/meter.ts';
import { served } from './telemetry/served.ts';
import { newTrace } from './trace.ts';

export interface ZbusServerOptions {
  readonly module: string;
  /** `unix:///path/to/redis.sock` or `tcp://host:port`. */
  readonly broker: string;
  readonly log?: BusLog;
  /** Handlers that may run at once. */
  readonly concurrency?: number;
  /** Told of every call that was run. */
  readonly meter?: BusMeter;
  /** The module's numbers in the text format of Prometheus. */
  readonly metrics?: () => Promise<string>;
}

const CONCURRENCY = 64;
/** Calls taken off the bus at once for each that may run: they wait for their turn here. */
const TAKEN_PER_RUNNING = 4;
const CONNECT_DEADLINE_MS = 10_000;
const STOP_DEADLINE_MS = 8_000;
/** How long handlers have after they were told to end. */
const ABORT_DEADLINE_MS = 500;
const LONGEST_TIMER_MS = 2 ** 31 - 1;
const REPLY_TTL_SECONDS = 300;
/** How long an answer is kept for a broker that is away. */
const ANSWER_DEADLINE_MS = 60_000;

export class ZbusServer {
  readonly #module: string;
  readonly #log: BusLog;
  readonly #address: ReturnType<typeof parseBroker>;
  readonly #concurrency: number;
  readonly #dispatcher = new Dispatcher();
  /** Told to stop: calls that have not begun go back to their queues, streams end. */
  readonly #stopping = new AbortController();
  /** The time to stop is over: handlers are told to end. */
  readonly #expired = new AbortController();
  /** Nothing is answered any more. */
  readonly #closed = new AbortController();
  readonly #running: Places;
  readonly #underWay = new Set<Promise<Taken>>();
  readonly #unstarted: Array<{ queue: Queue; payload: Buffer }> = [];
  readonly #status: StatusLoop;
  readonly #meter: BusMeter | undefined;
  readonly #cancels: Cancels;
  #queues: Queue[] = [];
  #answers: Line | undefined;
  #instances: Instances | undefined;
  #streams: Promise<void>[] = [];

  constructor(options: ZbusServerOptions) {
    this.#module = options.module;
    this.#log = options.log ?? silentLog;
    this.#address = parseBroker(options.broker);
    this.#concurrency = options.concurrency ?? CONCURRENCY;
    if (this.#concurrency < 1) throw new Error('invalid number of workers');
    this.#running = new Places(this.#concurrency);
    this.#status = new StatusLoop(this.#address, this.#module, this.#log, options.metrics);
    this.#meter = options.meter;
    this.#cancels = new Cancels(this.#address, this.#module, this.#log);
  }

  /** Registers an object; before `start`. */
  serve<D extends InterfaceDefinition>(definition: D, service: Service<D>): void {
    const object = { Name: definition.object, Version: definition.version };
    const name = objectName(object);
    if (definition.module !== this.#module) {
      throw new Error(`${name} belongs to module ${definition.module}, this server is ${this.#module}`);
    }
    if (name === 'zbus@1.0') throw new Error('object id is reserved');
    if (this.#dispatcher.objects.has(name)) throw new Error('object already exists');
    const handlers = service as unknown as Record<string, unknown>;
    for (const method of Object.keys(definition.methods)) {
      if (typeof handlers[method] !== 'function') throw new Error(`${name} has no handler for ${method}`);
    }
    this.#dispatcher.objects.set(name, { definition, service: handlers, lanes: new Lanes() });
    this.#status.objects.push(object);
  }

  /** Calls of others, now: taken off the bus and not begun, and those that run. */
  get numbers(): { readonly waiting: number; readonly running: number } {
    const running = this.#running.taken(this.#concurrency);
    return { running, waiting: Math.max(0, this.#underWay.size - running) };
  }

  /** @throws Error when the broker cannot be reached within 10 s */
  async start(): Promise<void> {
    const answers = openLine(this.#address, 'answers', this.#log);
    this.#answers = answers;
    try {
      await whenReady(answers, CONNECT_DEADLINE_MS);
    } catch (cause) {
      closeConnection(answers);
      throw new Error(`could not establish connection: ${(cause as Error).message}`, { cause });
    }
    this.#status.start();
    this.#cancels.start();
    try {
      await this.#open(answers);
    } catch (error) {
      await this.stop(0);
      throw error;
    }
  }

  async #open(answers: Line): Promise<void> {
    const objects = [...this.#dispatcher.objects.values()];
    const instances = new Instances({
      line: answers,
      module: this.#module,
      log: this.#log,
      works: () => this.#queues.map(({ work }) => work),
      takeOver: (work) => this.#answerLeftovers(answers, work),
    });
    this.#instances = instances;
    this.#queues = objects.map(({ definition }) => this.#queueOf(definition, instances));
    await Promise.all(this.#queues.map((queue) => queue.open(CONNECT_DEADLINE_MS)));
    await instances.join();
    for (const queue of this.#queues) queue.start();
    const publishing = { module: this.#module, line: answers, log: this.#log, signal: this.#stopping.signal };
    this.#streams = objects.flatMap((served) => publishStreams(served, publishing));
  }

  /**
   * Takes no more calls, finishes those that run within `withinMs`, puts those
   * that have not begun back into their queues, then lets go of the bus.
   */
  async stop(withinMs = STOP_DEADLINE_MS): Promise<void> {
    if (this.#stopping.signal.aborted || this.#answers === undefined) return;
    const answers = this.#answers;
    const giveUpAt = performance.now() + withinMs;
    this.#stopping.abort();
    await Promise.all(this.#queues.map((queue) => queue.stop(answers, Math.min(2_000, withinMs))));
    if (!(await this.#idle(giveUpAt - performance.now()))) {
      this.#log.warn({ calls: this.#underWay.size }, 'calls still run at the end of the time to stop, ending them');
      this.#expired.abort();
      await this.#idle(ABORT_DEADLINE_MS);
    }
    await within(ABORT_DEADLINE_MS, Promise.all(this.#streams));
    await this.#status.stop(answers);
    this.#cancels.stop();
    this.#instances?.stop();
    if (answers.status === 'ready') {
      await this.#putBack(answers).catch((error: unknown) =>
        this.#log.error({ err: error }, 'calls were lost at stop'),
      );
      await this.#leave(answers).catch(() => undefined);
    }
    this.#closed.abort();
    closeConnection(answers);
  }

  /** Whether every call under way was answered in time. */
  async #idle(withinMs: number): Promise<boolean> {
    return await within(Math.max(0, withinMs), Promise.all(this.#underWay));
  }

  /** With calls that still run, or that are stuck, this process stays known, so that the next one answers them. */
  async #leave(answers: Line): Promise<void> {
    const works = this.#queues.map(({ work }) => work);
    if (works.length > 0 && Number(await answers.send('EXISTS', ...works)) > 0) await this.#instances?.expire();
    else await this.#instances?.leave();
  }

  async #putBack(answers: Line): Promise<void> {
    for (const { queue, payload } of this.#unstarted.reverse()) {
      await Promise.all([
        answers.send('MULTI'),
        answers.send('LREM', queue.work, 1, payload),
        answers.send('LPUSH', queue.name, payload),
        answers.send('EXEC'),
      ]);
    }
  }

  #queueOf(definition: InterfaceDefinition, instances: Instances): Queue {
    const name = queueName(this.#module, { Name: definition.object, Version: definition.version });
    return new Queue({
      address: this.#address,
      name,
      work: `${name}:work:${instances.id}`,
      register: () => instances.register(),
      log: this.#log,
      places: new Places(this.#concurrency * TAKEN_PER_RUNNING),
      take: (payload, queue) => this.#take(payload, queue),
    });
  }

  #take(payload: Buffer, queue: Queue): Promise<Taken> {
    const work = this.#handle(payload, queue).finally(() => this.#underWay.delete(work));
    this.#underWay.add(work);
    return work;
  }

  async #handle(payload: Buffer, queue: Queue): Promise<Taken> {
    const request = this.#read(payload, queue.name);
    if (request === undefined) return await this.#finish(queue.work, payload);
    if (payload.length > FRAME_MOST_BYTES) {
      return await this.#finish(queue.work, payload, { request, response: tooLarge(request, payload) });
    }
    const caller = this.#cancels.follow(request.id);
    try {
      const response = await this.#respond(request, caller.signal);
      // Nobody reads the answer to a call that was given up, or is over; it would lie about for minutes.
      if (caller.signal.aborted || response === 'late') return await this.#finish(queue.work, payload);
      if (response !== undefined) return await this.#finish(queue.work, payload, { request, response });
    } finally {
      caller.done();
    }
    this.#unstarted.push({ queue, payload });
    return 'kept';
  }

  /** A request that cannot be read has nobody to be answered to. */
  #read(payload: Buffer, queue: string): Request | undefined {
    try {
      if (payload.length <= FRAME_MOST_BYTES) return decodeRequest(payload);
      const sender = senderOf(payload);
      if (sender === undefined) throw new WireError(`larger than ${FRAME_MOST_BYTES} bytes`);
      return sender;
    } catch (error) {
      this.#log.error({ err: error, queue, bytes: payload.length }, 'a call cannot be read and is dropped');
      return undefined;
    }
  }

  /** `undefined` when the server stops before the call has begun. */
  async #respond(request: Request, caller: AbortSignal): Promise<Response | 'late' | undefined> {
    const dispatched = this.#dispatcher.dispatch(request);
    if ('refused' in dispatched) return dispatched.refused;
    const { call } = dispatched;
    const leave = await call.lanes.enter(call.turn);
    try {
      await this.#running.take();
      try {
        return this.#stopping.signal.aborted ? undefined : await this.#run(request, call, caller);
      } finally {
        this.#running.give();
      }
    } finally {
      leave();
    }
  }

  /** `late` for a failure after the caller's deadline: that it was told to end is no failure of the method's own. */
  async #run(request: Request, call: Call, caller: AbortSignal): Promise<Response | 'late'> {
    if (caller.aborted) return this.#dispatcher.notRun(request, 'the caller gave the call up before it was started');
    const remainingMs = request.deadline === undefined ? undefined : request.deadline - Date.now();
    if (remainingMs !== undefined && remainingMs <= 0) {
      return this.#dispatcher.notRun(
        request,
        `deadline passed ${-remainingMs} ms before the call was started, it was not run; ask again`,
      );
    }
    const trace = request.trace ?? newTrace();
    const ended = new AbortController();
    let isLate = false;
    const onExpired = (): void => ended.abort();
    const onDeadline = (): void => {
      isLate = true;
      ended.abort();
    };
    const timer =
      remainingMs === undefined ? undefined : setTimeout(onDeadline, Math.min(remainingMs, LONGEST_TIMER_MS));
    this.#expired.signal.addEventListener('abort', onExpired);
    caller.addEventListener('abort', onExpired);
    const done = this.#status.begin(call.action);
    try {
      const asked = { module: this.#module, request, trace, meter: this.#meter, ended: ended.signal };
      const response = await served(asked, () => call.run({ signal: ended.signal, trace }));
      return isLate && response.callError !== undefined ? 'late' : response;
    } finally {
      clearTimeout(timer);
      this.#expired.signal.removeEventListener('abort', onExpired);
      caller.removeEventListener('abort', onExpired);
      done();
    }
  }

  /** Pushes the answer, then takes the call off the work list; again while the broker is away. */
  async #finish(work: string, payload: Buffer, answer?: { request: Request; response: Response }): Promise<Taken> {
    const answers = this.#answers;
    if (answers === undefined) return 'stuck';
    const frame = answer === undefined ? undefined : this.#frame(answer.request, answer.response);
    const context = { work, id: answer?.request.id, method: answer?.request.method };
    const giveUpAt = Date.now() + ANSWER_DEADLINE_MS;
    while (Date.now() < giveUpAt && !this.#closed.signal.aborted) {
      try {
        await whenReady(answers, giveUpAt - Date.now(), this.#closed.signal);
        const replyTo = answer?.request.replyTo;
        await Promise.all([
          replyTo === undefined || frame === undefined ? undefined : this.#reply(answers, replyTo, frame),
          answers.sendLast('LREM', work, 1, payload),
        ]);
        return 'gone';
      } catch (error) {
        this.#log.debug({ reason: String(error), ...context }, 'an answer could not be sent yet');
        await pause(50, this.#closed.signal);
      }
    }
    this.#log.error(context, 'an answer could not be sent and is dropped');
    return 'stuck';
  }

  #frame(request: Request, response: Response): Buffer {
    const frame = encodeResponse(response);
    if (frame.length <= FRAME_MOST_BYTES) return frame;
    const message = `the answer has ${frame.length} bytes, more than the ${FRAME_MOST_BYTES} of a message of the bus`;
    this.#log.error({ method: request.method, id: request.id, bytes: frame.length }, 'an answer is too large');
    return encodeResponse(this.#dispatcher.refused(request, message));
  }

  async #reply(answers: Line, replyTo: string, frame: Buffer): Promise<void> {
    try {
      await answers.push(replyTo, frame, REPLY_TTL_SECONDS);
    } catch (error) {
      // What the caller named is no list: asking again will not make it one.
      if (!(error instanceof BrokerRefusal && error.message.startsWith('WRONGTYPE'))) throw error;
      this.#log.warn({ replyTo }, 'an answer is dropped: its caller waits on a key that is no list');
    }
  }

  /** Calls that a crashed process had taken: methods may not run twice, so they are answered, never run. */
  async #answerLeftovers(answers: Line, work: string): Promise<void> {
    await endOthers(answers, work);
    for (const payload of (await answers.send('LRANGE', work, 0, -1)) as Buffer[]) {
      const request = this.#read(payload, work);
      if (request === undefined) {
        await this.#finish(work, payload);
        continue;
      }
      this.#log.warn({ work, method: request.method, id: request.id }, 'answering a call left by a crash');
      const message = 'server restarted before the call was finished';
      await this.#finish(work, payload, { request, response: this.#dispatcher.notRun(request, message) });
    }
  }
}

function tooLarge(request: Request, payload: Buffer): Response {
  const protocolError = `the request has ${payload.length} bytes, more than the ${FRAME_MOST_BYTES} of a message of the bus`;
  return { id: request.id, data: null, protocolError };
}

/** Whether the work ended within the time. */
async function within(milliseconds: number, work: Promise<unknown>): Promise<boolean> {
  const timer = new AbortController();
  const late = pause(milliseconds, timer.signal).then(() => false);
  try {
    return await Promise.race([work.then(() => true), late]);
  } finally {
    timer.abort();
  }
}
