import { createClient } from "graphql-ws";
import { Environment, Network, Observable, type GraphQLResponse, type RequestParameters, type Variables } from "relay-runtime";

/** An environment on the endpoint at url, https://…/graphql. */
export function createEnvironment(url: string): Environment {
  const webSocket = createClient({ url: url.replace(/^http/, "ws"), retryAttempts: Infinity, shouldRetry: () => true });
  return new Environment({
    network: Network.create(
      (params, variables) => execute(url, params, variables),
      ({ name, text }, variables) =>
        Observable.create((sink) =>
          webSocket.subscribe({ operationName: name, query: text ?? "", variables }, {
            next: (value) => sink.next(value as GraphQLResponse),
            error: (error) => sink.error(error instanceof Error ? error : new Error(JSON.stringify(error))),
            complete: () => sink.complete(),
          }),
        ),
    ),
  });
}

/** Sends the hash of a document. If the server does not know the hash, it sends the hash with the document. */
async function execute(url: string, { id, text }: RequestParameters, variables: Variables): Promise<GraphQLResponse> {
  const persisted = { extensions: { persistedQuery: { version: 1, sha256Hash: id } }, variables };
  const answer = await post(url, persisted);
  const unknown = answer.errors?.some(({ extensions }) => extensions?.["code"] === "PERSISTED_QUERY_NOT_FOUND");
  return (unknown ? await post(url, { ...persisted, query: text }) : answer) as GraphQLResponse;
}

interface Answer {
  errors?: { extensions?: Record<string, unknown> }[];
}

async function post(url: string, body: object): Promise<Answer> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/graphql-response+json" },
    body: JSON.stringify(body),
  });
  return (await response.json()) as Answer;
}
