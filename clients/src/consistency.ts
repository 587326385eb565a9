/** Returns a fetch that reads what it has written, also from replicas: it keeps the token of the last mutation in memory. */
export function consistentFetch(send: typeof fetch = fetch): typeof fetch {
  let token = "";
  return async (input, init) => {
    const headers = new Headers(init?.headers);
    if (token) headers.set("Roster-Consistency", token);
    const response = await send(input, { ...init, headers });
    // The answers of mutations that overlap can come in any order. The greater token is the later one.
    const next = response.headers.get("Roster-Consistency") ?? "";
    if (next > token) token = next;
    return response;
  };
}
