// The lines that an application begins with, as they stand in the documentation.

/** What is pasted, with a place and a project filled in; most servers of tests have no certificate. */
export function snippet(hostname: string, project: string, secure = false): string {
  return `
    let sdk = new Appwrite();
    sdk
      .setHostname('${hostname}')
      .setProject('${project}')
      .setVersion('v1')
      .setSecureProtocol(${secure});
    const stop = sdk.realtime.subscribe('documents.X', response => {
      console.log(JSON.stringify(response));
      stop();
    });
  `;
}

/** The event that the snippet waits for. */
export const EVENT = {
  events: ['databases.main.collections.posts.documents.X.update'],
  channels: ['documents.X'],
  roles: ['any'],
  payload: { $id: 'X', title: 'Hello' },
};
