// Filters over the payload of events.

/** What an attribute can be compared with. */
export type Value = string | number | boolean | null;

/** A query, spelled: one of {@link Query}, or text that Appwrite's SDKs have spelled. */
export type QueryText = string;

/**
 * Filters over the payload of events, by its top-level attributes, each spelled as the server and Appwrite's SDKs do. The
 * operators are those of Appwrite's Realtime; the server decides, so an event that does not pass costs no traffic.
 *
 * ```ts
 * Query.equal('status', ['open', 'new']);
 * Query.or([Query.greaterThan('priority', 5), Query.isNull('due')]);
 * ```
 */
export const Query = {
  /** The attribute is this, or one of these. */
  equal: (attribute: string, value: Value | Value[]): QueryText => compare('equal', attribute, value),
  /** The attribute is there and not this, or none of these. */
  notEqual: (attribute: string, value: Value | Value[]): QueryText => compare('notEqual', attribute, value),
  /** The attribute is less than this. */
  lessThan: (attribute: string, value: Value): QueryText => compare('lessThan', attribute, value),
  /** The attribute is at most this. */
  lessThanEqual: (attribute: string, value: Value): QueryText => compare('lessThanEqual', attribute, value),
  /** The attribute is greater than this. */
  greaterThan: (attribute: string, value: Value): QueryText => compare('greaterThan', attribute, value),
  /** The attribute is at least this. */
  greaterThanEqual: (attribute: string, value: Value): QueryText =>
    compare('greaterThanEqual', attribute, value),
  /** The attribute is there and null. */
  isNull: (attribute: string): QueryText => compare('isNull', attribute, []),
  /** The attribute is there and not null. */
  isNotNull: (attribute: string): QueryText => compare('isNotNull', attribute, []),
  /** All of these pass. */
  and: (queries: QueryText[]): QueryText => join('and', queries),
  /** At least one of these passes. */
  or: (queries: QueryText[]): QueryText => join('or', queries),
} as const;

function compare(method: string, attribute: string, values: Value | Value[]): QueryText {
  return JSON.stringify({ method, attribute, values: Array.isArray(values) ? values : [values] });
}

function join(method: string, queries: QueryText[]): QueryText {
  return JSON.stringify({ method, values: queries.map(parsed) });
}

/** Text that is not JSON stays a string, which the server refuses with the reason. */
function parsed(query: QueryText): unknown {
  try {
    return JSON.parse(query);
  } catch {
    return query;
  }
}
