// Asks the server over HTTP; what it refuses is thrown with its reason.

/** What the server has refused: an HTTP status, and a reason of the registry. */
export class HttpRefused extends Error {
  constructor(status, reason, detail) {
    super(detail && detail !== reason ? `${status} ${reason}: ${detail}` : `${status} ${reason}`);
    this.status = status;
    this.reason = reason;
  }
}

/** Return the JSON document that answers; without a token, the session cookie is the credential. */
export async function ask(path, request) {
  const response = await send(path, request);
  return response.status === 204 ? null : response.json();
}

/** Return the response, if the server accepts; `body` is sent as JSON, or `text` as its `type`. */
export async function send(path, { token, method, body, text, type, headers, signal } = {}) {
  const all = { ...headers };
  if (token) all.Authorization = `Bearer ${token}`;
  if (body !== undefined) all["Content-Type"] = "application/json";
  if (text !== undefined) all["Content-Type"] = type;
  const response = await fetch(path, {
    method,
    headers: all,
    body: body === undefined ? text : JSON.stringify(body),
    credentials: token ? "omit" : "same-origin",
    cache: "no-store",
    signal,
  });
  if (!response.ok) throw await refusalOf(response);
  return response;
}

async function refusalOf(response) {
  const problem = await response.json().catch(() => ({}));
  return new HttpRefused(response.status, problem.code ?? response.statusText, problem.detail);
}
