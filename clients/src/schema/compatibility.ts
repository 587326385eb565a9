import {
  DangerousChangeType,
  findBreakingChanges,
  findDangerousChanges,
  isInputObjectType,
  isObjectType,
  isScalarType,
  type GraphQLSchema,
} from "graphql";

/**
 * Says what in a new schema breaks a client of the old one. Clients are expected to live with more types, fields, optional
 * arguments and values of enums: docs/clients.md tells them so.
 */
export function breakingChanges(old: GraphQLSchema, now: GraphQLSchema): string[] {
  const defaults = findDangerousChanges(old, now).filter(({ type }) => type === DangerousChangeType.ARG_DEFAULT_VALUE_CHANGE);
  return [...findBreakingChanges(old, now), ...defaults].map(({ description }) => description).concat(otherChanges(old, now));
}

/** What graphql-js does not look at. */
function otherChanges(old: GraphQLSchema, now: GraphQLSchema): string[] {
  const changes: string[] = [];
  for (const type of Object.values(old.getTypeMap())) {
    const same = now.getType(type.name);
    if (isScalarType(type) && isScalarType(same) && type.specifiedByURL !== same.specifiedByURL) {
      changes.push(`${type.name} is specified by another document.`);
    }
    if (!isInputObjectType(type) || !isInputObjectType(same)) continue;
    if (type.isOneOf !== same.isOneOf) changes.push(`${type.name} ${same.isOneOf ? "became" : "is no longer"} @oneOf.`);
    for (const field of Object.values(type.getFields())) {
      const after = same.getFields()[field.name];
      if (after && JSON.stringify(field.defaultValue) !== JSON.stringify(after.defaultValue)) {
        changes.push(`${type.name}.${field.name} has changed its default.`);
      }
    }
  }
  for (const [name, root] of [["mutation", old.getMutationType()], ["subscription", old.getSubscriptionType()]] as const) {
    const same = name === "mutation" ? now.getMutationType() : now.getSubscriptionType();
    if (isObjectType(root) && root.name !== same?.name) changes.push(`The type of ${name}s is no longer ${root.name}.`);
  }
  return changes;
}
