// What the server is asked for. Its errors are sentences for the reader.

export class ServerError extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

async function answered(address, options) {
  let answer;
  try {
    answer = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError(0, "The server does not answer; is `transfer-kit view` still running?");
  }
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  throw new ServerError(answer.status, said.error ?? `The server answered ${answer.status}.`);
}

export async function getJson(address, options) {
  return (await answered(address, options)).json();
}

export async function getBuffer(address, options) {
  return (await answered(address, options)).arrayBuffer();
}

export async function getPicture(address, options) {
  return createImageBitmap(await (await answered(address, options)).blob());
}

export async function send(method, address, content) {
  const headers = { "Content-Type": "application/json" };
  return (await answered(address, { method, headers, body: JSON.stringify(content) })).json();
}

// Only the last of several requests counts: an earlier one is given up.
export class Latest {
  ask(get, address) {
    this.abort();
    this.controller = new AbortController();
    return get(address, { signal: this.controller.signal });
  }

  abort() {
    this.controller?.abort();
  }
}

export function isAborted(error) {
  return error.name === "AbortError";
}
