/** A local server of OpenAI's chat protocol, which answers from a record and fails on request. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A question as it came. */
export interface Asked {
  /** Of the request. */
  path: string;
  authorization: string | undefined;
  /** The JSON that was sent. */
  body: { model: string; temperature: number; max_tokens: number; messages: unknown };
  prompt: string;
  image: { type: string; bytes: Buffer; sha256: string };
  /** 1 where it is the first with this prompt and image. */
  attempt: number;
}

/** An answer: what the model writes, or the whole JSON of the response. */
export type Answer = string | object;

export type Fault =
  | { status: number; body?: Answer; headers?: Record<string, string> }
  /** Status 200 with this text. */
  | { text: string | Buffer }
  /** Nothing is sent, ever. */
  | 'silent'
  /** Headers, then a space every 5 ms. */
  | 'dripping'
  /** The connection is closed before the headers. */
  | 'reset'
  /** The connection is closed in the middle of the body. */
  | 'cut'
  /** A body that never ends. */
  | 'endless';

export interface ServerOptions {
  /** By the prompt. */
  answers: Readonly<Record<string, Answer>> | ((asked: Asked) => Answer | Promise<Answer>);
  faults?: (asked: Asked) => Fault | undefined;
  /** What GET /models lists, or the status that it has. Default one, 'test-model'. */
  models?: readonly string[] | number;
}

export interface Server {
  /** The base URL, as OpenAI's clients take it. */
  url: string;
  requests: Asked[];
  /** The most questions that it had at one time. */
  mostAtOnce(): number;
  /** How many connections were made to it. */
  connections(): number;
  close(): Promise<void>;
}

/** A response as vLLM writes it. */
export function completion(content: string, model = 'test-model'): object {
  const message = { role: 'assistant', content, refusal: null, tool_calls: [], reasoning_content: null };
  return {
    id: 'chatcmpl-0c1f4b7a52f94c0d8a3a5d2f6c1e9b11',
    object: 'chat.completion',
    created: 1753171200,
    model,
    choices: [{ index: 0, message, logprobs: null, finish_reason: 'stop', stop_reason: null }],
    usage: { prompt_tokens: 10, total_tokens: 14, completion_tokens: 4, prompt_tokens_details: null },
    prompt_logprobs: null,
  };
}

export async function startServer({
  answers,
  faults,
  models = ['test-model'],
}: ServerOptions): Promise<Server> {
  const requests: Asked[] = [];
  const attempts = new Map<string, number>();
  let open = 0;
  let most = 0;
  let connections = 0;

  const chat = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const asked = await questionOf(request);
    const id = `${asked.image.sha256} ${asked.prompt}`;
    asked.attempt = (attempts.get(id) ?? 0) + 1;
    attempts.set(id, asked.attempt);
    requests.push(asked);
    const fault = faults?.(asked);
    if (fault !== undefined) {
      await fail(response, fault);
      return;
    }
    const answer = typeof answers === 'function' ? await answers(asked) : answers[asked.prompt];
    if (answer === undefined) send(response, 400, { error: { message: `not recorded: ${asked.prompt}` } });
    else send(response, 200, typeof answer === 'string' ? completion(answer) : answer);
  };

  const server = createServer((request, response) => {
    const path = request.url!.split('?')[0]!;
    if (request.method === 'GET' && path === '/v1/models') {
      if (typeof models === 'number') send(response, models, { detail: 'Not Found' });
      else send(response, 200, { object: 'list', data: models.map((id) => ({ id, object: 'model' })) });
    } else if (request.method === 'POST' && path === '/v1/chat/completions') {
      most = Math.max(most, ++open);
      response.on('close', () => open--);
      chat(request, response).catch((error: unknown) => response.destroy(error as Error));
    } else {
      send(response, 404, { detail: 'Not Found' });
    }
  });
  server.on('connection', () => connections++);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    requests,
    mostAtOnce: () => most,
    connections: () => connections,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Accepts nothing but a user message of an image, as a data URI, and a text behind it. */
async function questionOf(request: IncomingMessage): Promise<Asked> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const body = JSON.parse(Buffer.concat(chunks).toString('utf8')) as Asked['body'];
  const [message, ...others] = body.messages as {
    role: string;
    content: [
      { type: string; image_url: { url: string } },
      { type: string; text: string },
      ...rest: unknown[],
    ];
  }[];
  const [image, text, ...rest] = message!.content;
  const uri = /^data:(image\/[a-z]+);base64,([A-Za-z0-9+/]+={0,2})$/.exec(image.image_url.url);
  const known = message!.role === 'user' && image.type === 'image_url' && text.type === 'text' && uri;
  if (!known || others.length > 0 || rest.length > 0) throw new Error('a request in another form');
  const bytes = Buffer.from(uri[2]!, 'base64');
  return {
    path: request.url!,
    authorization: request.headers.authorization,
    body,
    prompt: text.text,
    image: { type: uri[1]!, bytes, sha256: createHash('sha256').update(bytes).digest('hex') },
    attempt: 0,
  };
}

function send(response: ServerResponse, status: number, body: Answer, headers = {}): void {
  const plain = typeof body === 'string' || Buffer.isBuffer(body);
  response
    .writeHead(status, { 'content-type': plain ? 'text/plain' : 'application/json', ...headers })
    .end(plain ? body : JSON.stringify(body));
}

async function fail(response: ServerResponse, fault: Fault): Promise<void> {
  if (typeof fault === 'object') {
    if ('text' in fault) send(response, 200, fault.text);
    else send(response, fault.status, fault.body ?? '', fault.headers);
    return;
  }
  if (fault === 'silent') return;
  if (fault === 'reset') {
    response.destroy();
    return;
  }
  response.writeHead(200, { 'content-type': 'application/json' });
  if (fault === 'cut') {
    response.write('{"choices": [{"message": {"content": "half', () => response.destroy());
    return;
  }
  const spaces = Buffer.alloc(fault === 'dripping' ? 1 : 256 * 1024, ' ');
  while (!response.destroyed) {
    await new Promise<void>((resolve) => {
      response.write(spaces, () => setTimeout(resolve, fault === 'dripping' ? 5 : 0));
    });
  }
}
