// Publishing an event by hand.
import { Alert, Button, Group, JsonInput, Paper, SegmentedControl, Stack, TagsInput, TextInput } from '@mantine/core';
import { useState } from 'react';
import { api } from '../api';
import { said } from '../live';
import { Trouble } from '../part';
import { link } from '../route';

export function Publish() {
  const [project, setProject] = useState('demo');
  const [way, setWay] = useState('channels');
  const [channels, setChannels] = useState<string[]>(['documents']);
  const [roles, setRoles] = useState<string[]>(['any']);
  const [name, setName] = useState('');
  const [payload, setPayload] = useState('{\n  "hello": "world"\n}');
  const [problem, setProblem] = useState<string>();
  const [done, setDone] = useState<{ id: string; published: boolean; reason?: string }>();

  const publish = async () => {
    setProblem(undefined);
    setDone(undefined);
    try {
      const what = way === 'channels' ? { channels, roles, ...(name ? { events: [name] } : {}) } : { event: name };
      const answer = await api.publish(project.trim(), { ...what, payload: JSON.parse(payload) });
      setDone(answer.events[0]);
    } catch (error) {
      setProblem(said(error));
    }
  };
  return (
    <Stack>
      <Paper withBorder radius="md" p="md" component="form" onSubmit={(event: React.FormEvent) => (event.preventDefault(), void publish())}>
        <Stack>
          <TextInput label="Project" value={project} onChange={(event) => setProject(event.currentTarget.value)} required />
          <SegmentedControl
            aria-label="Who hears it"
            value={way}
            onChange={setWay}
            data={[
              { value: 'channels', label: 'Channels and roles' },
              { value: 'derived', label: 'From its name' },
            ]}
          />
          {way === 'channels' && (
            <>
              <TagsInput label="Channels" description="Enter after each." value={channels} onChange={setChannels} required />
              <TagsInput label="Roles" description="Who may hear it: any, users, user:ID, team:ID, …" value={roles} onChange={setRoles} required />
            </>
          )}
          <TextInput
            label="Name"
            description={way === 'channels' ? 'If it has one, such as documents.a.update.' : 'Channels and roles follow from it and from the payload, as Appwrite derives them.'}
            placeholder="users.alice.update"
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
            required={way === 'derived'}
          />
          <JsonInput label="Payload" value={payload} onChange={setPayload} autosize minRows={5} maxRows={20} validationError="This is no JSON." />
          <Group>
            <Button type="submit">Publish</Button>
          </Group>
        </Stack>
      </Paper>
      <Trouble text={problem} />
      {done && (
        <Alert color={done.published ? 'teal' : 'orange'} role="status" title={done.published ? 'Published' : 'Not published'}>
          {done.reason ?? (
            <a className="link" href={link('explain', '', { project, event: done.id })}>
              {done.id}: explain who gets it
            </a>
          )}
        </Alert>
      )}
    </Stack>
  );
}
