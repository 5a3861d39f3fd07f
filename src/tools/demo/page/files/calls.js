// Calls of this page's own server, which passes them to the messenger API of its gateway. The page holds no token.

/** A call that was refused, with the text of the refusal. */
export class CallError extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

async function call(method, path, body) {
  const request = { method, headers: { accept: 'application/json' } };
  if (body !== undefined) {
    request.headers['content-type'] = 'application/json';
    request.body = JSON.stringify(body);
  }
  const answer = await fetch(path, request);
  const text = await answer.text();
  if (!answer.ok) {
    let words = text;
    try {
      words = JSON.parse(text).error ?? text;
    } catch {
      // The text itself is the reason.
    }
    throw new CallError(answer.status, words || `status ${answer.status}`);
  }
  return text ? JSON.parse(text) : null;
}

export const start = () => call('GET', '/api/start');
export const history = (context) => call('GET', `/api/history?context=${encodeURIComponent(context)}`);
export const say = (id, context, text) => call('POST', '/api/say', { id, context, text });
export const typing = (context, isTyping) => call('POST', '/api/typing', { context, typing: isTyping });
export const receipts = (ids) => call('POST', '/api/receipts', { ids });
export const cut = (isCut) => call('POST', '/api/cut', { cut: isCut });

/** Kinds of events that the page reads. Others are ignored, as a messenger should. */
const KINDS = ['message', 'state', 'gap', 'gap_filled', 'ephemeral', 'reset', 'context', 'peers', 'network'];

/**
 * Follows the stream of the server for ever. The browser resumes it by the last id itself; a refused stream is opened
 * again after a pause, because the browser gives those up.
 */
export function follow(take, opened, lost) {
  const source = new EventSource('/api/stream');
  source.addEventListener('open', opened);
  for (const kind of KINDS) {
    source.addEventListener(kind, (event) => take(kind, JSON.parse(event.data)));
  }
  source.addEventListener('error', () => {
    lost();
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(() => follow(take, opened, lost), 2000);
    }
  });
}
