#!/usr/bin/env node
// A messenger in front of a Fernpost gateway, in one file and with Node alone (20 or newer). Copy from it what you need.
//
//     messenger.mjs run --data FILE [--listen 127.0.0.1:7000] [--secret-file FILE]    takes what the gateway pushes
//     messenger.mjs say CONTEXT TEXT                                 sends a message to a context
//     messenger.mjs update PEER JSON                                 sends an update to one server
//     messenger.mjs ask PEER JSON                                    asks one server, and prints its answer
//
// Every command takes --gateway URL (the messenger API) and --token-file FILE; `say` and `update` take --id ID.
// `run` prints each event as a line of JSON and keeps it in FILE. The gateway needs:
//
//     [messenger]
//     push = { url = "http://127.0.0.1:7000/fernpost", secret_file = "push.secret" }

import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";
import { constants, fsyncSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";

const BODY_MAX = 16 << 20; // bytes of a call; above messenger.push.batch_bytes and the largest event
const IDS_KEPT = 100_000; // of events taken last; far more than the gateway can push again after a crash
const CLOCK_SKEW = 300; // seconds

// Sending: the id makes a repeated submission the same submission, so whatever has no answer is sent again.

export class GatewayClient {
  constructor(url, token) {
    this.url = url.replace(/\/$/, "");
    this.token = token;
  }

  // Makes one call; returns its status, its headers and its JSON. Throws without an answer.
  async call(method, path, body, headers = {}) {
    if (this.token) headers.authorization = `Bearer ${this.token}`;
    const init = { method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(70_000) };
    const answer = await fetch(this.url + path, init);
    const text = await answer.text();
    return { status: answer.status, headers: answer.headers, answer: text && JSON.parse(text) };
  }

  // Submits until the gateway has taken or refused it. 429 and 503 mean "not now". After an error of the connection nobody
  // knows whether the gateway has it; the same id and the same body can be sent again without harm.
  async submit(path, body) {
    for (let delay = 100; ; delay = Math.min(delay * 2, 5_000)) {
      let wait = delay;
      try {
        const { status, headers, answer } = await this.call("PUT", path, body);
        if (status !== 429 && status !== 503) return { status, answer };
        wait = Math.max(delay, 1_000 * Number(headers.get("retry-after") ?? 0));
      } catch (error) {
        if (error instanceof SyntaxError) throw error; // an answer that is not JSON: this is no gateway
      }
      await sleep(wait);
    }
  }

  say(id, context, content, type = "m.text") {
    return this.submit(`/v1/messages/${id}`, { context, type, content });
  }

  update(id, peer, ...strong) {
    return this.submit(`/v1/updates/${id}`, { to: [peer], strong });
  }

  // The answer is the server's own if it has the header fernpost-peer, else the gateway's refusal.
  ask(peer, question, timeout = "10s") {
    return this.call("POST", `/v1/rpc/${encodeURIComponent(peer)}`, question, { "fernpost-timeout": timeout });
  }
}

// Receiving: verify, store, and only then answer 2xx, which means that the events never need to come again.

// Returns the secrets of a file: one, or two while one replaces the other.
export function readSecrets(path) {
  const lines = readFileSync(path, "utf8").split("\n").map((line) => line.trim());
  const key = (line) => (line.startsWith("whsec_") ? Buffer.from(line.slice(6), "base64") : Buffer.from(line));
  return lines.filter(Boolean).map(key);
}

// Returns whether the gateway signed this call, as Standard Webhooks defines it, with any of our secrets.
export function isSigned(headers, body, secrets) {
  const { "webhook-id": id, "webhook-timestamp": seconds, "webhook-signature": signatures } = headers;
  if (!id || !signatures || !/^\d+$/.test(seconds ?? "")) return false;
  if (Math.abs(Date.now() / 1_000 - Number(seconds)) > CLOCK_SKEW) return false;
  const made = secrets.map((key) => createHmac("sha256", key).update(`${id}.${seconds}.`).update(body).digest("base64"));
  const equal = (a, b) => a.length === b.length && timingSafeEqual(a, b);
  const theirs = signatures.split(" ").map((one) => Buffer.from(one));
  return made.some((ours) => theirs.some((one) => equal(Buffer.from(`v1,${ours}`), one)));
}

// Listens for the four calls of the gateway and gives them to a messenger, which has the methods
//
//   take(events)           returns a Map of reasons for refusing events, by position, when the others are on disk
//   glance(events)         takes what is useful only now
//   answer(peer, question) returns a status and JSON, for a question of a server
//
// An exception in `take` is a 503: the same events come again.
export function pushListener(prefix, secrets, messenger) {
  const answerCall = (request, body) => {
    if (secrets.length > 0 && !isSigned(request.headers, body, secrets)) {
      return [401, { error: "no signature with a secret of ours; compare the secret files and the clocks" }];
    }
    const call = `${request.method} ${request.url.startsWith(prefix) ? request.url.slice(prefix.length) : request.url}`;
    if (call === "GET /ping") return [204];
    let whole;
    try {
      whole = JSON.parse(body);
    } catch {
      return [400, { error: "the body is not JSON" }];
    }
    try {
      if (call.startsWith("PUT /transactions/")) {
        const refused = [...messenger.take(whole.events)].map(([position, reason]) => ({ position, reason }));
        return [200, refused.length > 0 ? { refused } : {}];
      }
      if (call === "POST /ephemeral") return messenger.glance(whole.events), [200, {}];
      if (call === "POST /rpc") return messenger.answer(request.headers["fernpost-peer"] ?? "", whole);
    } catch (error) {
      // Whatever it is, the gateway has to keep the events.
      console.error(`${call} failed: ${error}`);
      return [503, { error: "not now" }];
    }
    return [404, { error: `no such call: ${call}` }];
  };
  // Longer than the gateway keeps a connection that is idle.
  return createServer({ keepAliveTimeout: 120_000 }, (request, response) => {
    const parts = [];
    let size = 0;
    request.on("data", (part) => {
      size += part.length;
      if (size <= BODY_MAX) parts.push(part);
    });
    request.on("end", () => {
      const tooLarge = [413, { error: `at most ${BODY_MAX} bytes` }];
      const [status, body] = size > BODY_MAX ? tooLarge : answerCall(request, Buffer.concat(parts));
      response.writeHead(status, body ? { "content-type": "application/json" } : {});
      response.end(body && JSON.stringify(body));
    });
  });
}

// Keeps each event as a line of a file, and prints it. A real messenger has a database in the place of the file.
class SampleMessenger {
  constructor(path) {
    this.ids = new Set();
    this.file = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    // What follows the last line is a write that was cut off; its events come again.
    const bytes = readFileSync(path);
    this.size = bytes.lastIndexOf(10) + 1;
    for (const line of bytes.subarray(0, this.size).toString().split("\n").filter(Boolean)) {
      this.remember(JSON.parse(line).id);
    }
    ftruncateSync(this.file, this.size);
  }

  remember(id) {
    this.ids.add(id);
    if (this.ids.size > IDS_KEPT) this.ids.delete(this.ids.values().next().value); // the oldest
  }

  take(events) {
    const refused = new Map();
    const fresh = [];
    for (const event of events) {
      const reason = this.refusal(event);
      if (reason) refused.set(event.position, reason);
      else if (!this.ids.has(event.id)) fresh.push(event); // an event comes again after a crash of either side
    }
    const lines = fresh.map((event) => `${JSON.stringify(event)}\n`).join("");
    const bytes = Buffer.from(lines);
    for (let written = 0; written < bytes.length; ) {
      written += writeSync(this.file, bytes, written, bytes.length - written, this.size + written);
    }
    fsyncSync(this.file);
    this.size += bytes.length;
    for (const event of fresh) this.remember(event.id);
    process.stdout.write(lines);
    return refused;
  }

  // Returns why this event can never be taken. It goes to a quarantine, and the events after it go on. An event of a kind
  // that this messenger does not know is taken and ignored.
  refusal(event) {
    const isText = event.kind === "message" && event.type === "m.text";
    return isText && typeof event.content?.body !== "string" ? "a text message needs a body" : null;
  }

  glance(events) {
    for (const event of events) console.log(JSON.stringify(event));
  }

  answer(peer, question) {
    if (question?.method === "echo") return [200, { peer, echo: question }];
    return [404, { error: "this messenger answers the method echo only", code: "UNKNOWN_METHOD" }];
  }
}

async function main() {
  const text = { type: "string" };
  const options = { gateway: text, "token-file": text, listen: text, prefix: text, "secret-file": text, data: text, id: text };
  const { values: given, positionals } = parseArgs({ options, allowPositionals: true });
  const [command, first, second] = positionals;
  const token = given["token-file"] && readFileSync(given["token-file"], "utf8").trim();
  const gateway = new GatewayClient(given.gateway ?? "http://127.0.0.1:9881", token);
  const id = given.id ?? `m-${randomUUID()}`;
  if (command === "run" && given.data) {
    const secrets = given["secret-file"] ? readSecrets(given["secret-file"]) : [];
    const listener = pushListener(given.prefix ?? "/fernpost", secrets, new SampleMessenger(given.data));
    const address = given.listen ?? "127.0.0.1:7000";
    const split = address.lastIndexOf(":");
    listener.listen(Number(address.slice(split + 1)), address.slice(0, split), async () => {
      console.error(`listening on ${address}`);
      // "I am back": what waits is pushed at once.
      await gateway.call("POST", "/v1/ping").catch((error) => console.error(`the gateway is not reachable yet: ${error}`));
    });
    return;
  }
  const calls = {
    say: () => gateway.say(id, first, { body: second }),
    update: () => gateway.update(id, first, JSON.parse(second)),
    ask: () => gateway.ask(first, JSON.parse(second)),
  };
  if (!calls[command] || second === undefined) {
    console.error("usage: messenger.mjs run --data FILE | say CONTEXT TEXT | update PEER JSON | ask PEER JSON");
    process.exit(2);
  }
  const { status, answer } = await calls[command]();
  console.log(JSON.stringify(answer));
  process.exitCode = status < 300 ? 0 : 1;
}

await main();
