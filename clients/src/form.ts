import type { ErrorCode } from "./gql/graphql.js";

interface Answered {
  message: string;
  extensions?: Record<string, unknown> | undefined;
}

export interface FormErrors {
  /** The errors of fields, by the paths of the fields in the input: `username`, `posts.0.title`. */
  fields: Record<string, { code: ErrorCode; message: string }>;
  /** The messages of errors without a field. */
  others: string[];
}

/** Sorts the errors of a mutation by the fields of its form. */
export function formErrors(errors: readonly Answered[]): FormErrors {
  const form: FormErrors = { fields: {}, others: [] };
  for (const { message, extensions } of errors) {
    const field = extensions?.["field"];
    if (Array.isArray(field)) {
      // The path begins with the name of the argument.
      form.fields[field.slice(1).join(".")] = { code: extensions?.["code"] as ErrorCode, message };
    } else {
      form.others.push(message);
    }
  }
  return form;
}
