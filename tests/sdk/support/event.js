// Events to publish, as a backend would send them.

/** A change of a document, for everybody in `roles`. */
export function document(id, roles, payload = {}) {
  const parent = 'databases.main.collections.posts.documents';
  return {
    events: [`${parent}.${id}.update`],
    channels: ['documents', parent, `${parent}.${id}`],
    roles,
    payload: { $id: id, ...payload },
  };
}

/** A change of a file. */
export function file(id, roles) {
  return {
    events: [`buckets.photos.files.${id}.update`],
    channels: ['files', 'buckets.photos.files', `buckets.photos.files.${id}`],
    roles,
    payload: { $id: id },
  };
}

/** A change of a user's own account, which only that user may see. */
export function account(userId, payload = {}) {
  return {
    events: [`users.${userId}.update`],
    channels: ['account', `account.${userId}`],
    roles: [`user:${userId}`],
    payload: { $id: userId, ...payload },
  };
}
