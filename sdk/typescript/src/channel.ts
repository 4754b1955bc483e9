// Names of channels, built from the ids in them.

/** What can be put behind a channel to hear of one kind of change only. */
type Action = 'create' | 'update' | 'upsert' | 'delete';

/**
 * The name of a channel. Plain strings do as well wherever one is wanted; these spare the spelling, and the type keeps
 * the name, so that an editor shows it.
 *
 * ```ts
 * Channel.row('main', 'todos', '42').toString(); // 'databases.main.tables.todos.rows.42'
 * Channel.files('pictures').create().toString(); // 'buckets.pictures.files.create'
 * ```
 */
export class Channel<Name extends string = string> {
  readonly #name: Name;

  private constructor(name: Name) {
    this.#name = name;
  }

  /** Whatever is called so. */
  static named<N extends string>(name: N): Channel<N> {
    return new Channel(name);
  }

  /** What happens to the account of the user who listens. */
  static account(): Channel<'account'> {
    return new Channel('account');
  }

  /** The documents of a collection. */
  static documents<D extends string, C extends string>(database: D, collection: C) {
    return new Channel(`databases.${database}.collections.${collection}.documents`);
  }

  /** One document. */
  static document<D extends string, C extends string, X extends string>(
    database: D,
    collection: C,
    document: X,
  ) {
    return new Channel(`databases.${database}.collections.${collection}.documents.${document}`);
  }

  /** The rows of a table. */
  static rows<D extends string, T extends string>(database: D, table: T) {
    return new Channel(`databases.${database}.tables.${table}.rows`);
  }

  /** One row. */
  static row<D extends string, T extends string, R extends string>(database: D, table: T, row: R) {
    return new Channel(`databases.${database}.tables.${table}.rows.${row}`);
  }

  /** The files of a bucket. */
  static files<B extends string>(bucket: B) {
    return new Channel(`buckets.${bucket}.files`);
  }

  /** One file. */
  static file<B extends string, F extends string>(bucket: B, file: F) {
    return new Channel(`buckets.${bucket}.files.${file}`);
  }

  /** The executions of a function. */
  static function<F extends string>(id: F) {
    return new Channel(`functions.${id}`);
  }

  /** One execution. */
  static execution<X extends string>(id: X) {
    return new Channel(`executions.${id}`);
  }

  /** A team. */
  static team<T extends string>(id: T) {
    return new Channel(`teams.${id}`);
  }

  /** A membership. */
  static membership<M extends string>(id: M) {
    return new Channel(`memberships.${id}`);
  }

  /** Who is here. */
  static presences(): Channel<'presences'> {
    return new Channel('presences');
  }

  /** Only what is created. */
  create() {
    return this.#only('create');
  }

  /** Only what is changed. */
  update() {
    return this.#only('update');
  }

  /** Only what is created or changed, without a word which. */
  upsert() {
    return this.#only('upsert');
  }

  /** Only what is deleted. */
  delete() {
    return this.#only('delete');
  }

  /** Its name. */
  toString(): Name {
    return this.#name;
  }

  /** The same. */
  toJSON(): Name {
    return this.#name;
  }

  #only<A extends Action>(action: A): Channel<`${Name}.${A}`> {
    return new Channel(`${this.#name}.${action}` as const);
  }
}
