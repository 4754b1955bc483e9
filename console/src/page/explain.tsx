// Why a connection gets an event, or why not.
import { Alert, Button, Group, JsonInput, Paper, SegmentedControl, SimpleGrid, Stack, Text, TextInput } from '@mantine/core';
import { useEffect, useState } from 'react';
import { api, type Explained } from '../api';
import { said } from '../live';
import { Names, Passes, Section, Trouble } from '../part';
import { link } from '../route';

const EXAMPLE = JSON.stringify({ channels: ['documents'], roles: ['any'], payload: { hello: 'world' } }, null, 2);

export function Explain({ query }: { query: URLSearchParams }) {
  const [connection, setConnection] = useState(query.get('connection') ?? '');
  const [project, setProject] = useState(query.get('project') ?? '');
  const [event, setEvent] = useState(query.get('event') ?? '');
  const [way, setWay] = useState(query.get('event') || !query.get('connection') ? 'id' : 'body');
  const [body, setBody] = useState(EXAMPLE);
  const [problem, setProblem] = useState<string>();
  const [answer, setAnswer] = useState<Awaited<ReturnType<typeof api.explain>>>();

  const explain = async () => {
    setProblem(undefined);
    setAnswer(undefined);
    try {
      const what = way === 'id' ? { event: event.trim() } : { body: JSON.parse(body) };
      setAnswer(await api.explain({ connection: connection.trim(), project: project.trim(), ...what }));
    } catch (error) {
      setProblem(said(error));
    }
  };
  // Somebody who came by a link that says it all wants the answer.
  useEffect(() => {
    if (query.get('connection') && query.get('event')) void explain();
  }, []); // eslint-disable-line

  return (
    <Stack>
      <Paper withBorder radius="md" p="md" component="form" onSubmit={(event: React.FormEvent) => (event.preventDefault(), void explain())}>
        <Stack>
          <SimpleGrid cols={{ base: 1, sm: 2 }}>
            <TextInput
              label="Connection"
              placeholder="0-12.3"
              description={<span className="described">As the list of <a className="link" href={link("connections", "", project ? { project } : {})}>connections</a> names it.</span>}
              value={connection}
              onChange={(event) => setConnection(event.currentTarget.value)}
              required
            />
            <TextInput
              label="Project of the event"
              placeholder="demo"
              description="An event is of one project."
              value={project}
              onChange={(event) => setProject(event.currentTarget.value)}
              required
            />
          </SimpleGrid>
          <SegmentedControl
            aria-label="Which event"
            value={way}
            onChange={setWay}
            data={[
              { value: 'id', label: 'An event that passed' },
              { value: 'body', label: 'An event as it would be published' },
            ]}
          />
          {way === 'id' ? (
            <TextInput
              label="Id of the event"
              description="One of the last two minutes (setting resume.window)."
              value={event}
              onChange={(event) => setEvent(event.currentTarget.value)}
              required
            />
          ) : (
            <JsonInput label="Event" description="Nothing is published." value={body} onChange={setBody} autosize minRows={6} maxRows={20} validationError="This is no JSON." />
          )}
          <Group>
            <Button type="submit">Explain</Button>
          </Group>
        </Stack>
      </Paper>
      <Trouble text={problem} />
      {answer?.unpublished && <Alert color="orange">It would not be published: {answer.unpublished}</Alert>}
      {answer?.events.map((explained, number) => <Answer key={number} explained={explained} />)}
    </Stack>
  );
}

function Answer({ explained }: { explained: Explained }) {
  const { project, channels, roles, subscriptions } = explained;
  const inCommon = (one: string[], other: string[]) => one.filter((name) => other.includes(name));
  const common = inCommon(roles.event, [...roles.connection, 'any']);
  return (
    <Stack>
      <Alert color={explained.verdict.startsWith('Delivered') ? 'teal' : 'orange'} role="status" title={explained.name ?? undefined}>
        {explained.verdict}
      </Alert>
      <Section title="1. Project" aside={<Passes passes={project.passes} />}>
        <Beside event={[project.event]} connection={[project.connection]} />
      </Section>
      <Section title="2. Channel" aside={<Passes passes={channels.passes} />}>
        <Beside event={channels.event} connection={[...new Set(subscriptions.flatMap((one) => one.channels))]} />
      </Section>
      <Section title="3. Role" aside={<Passes passes={roles.passes} />}>
        <Beside event={roles.event} connection={roles.connection} />
        {common.length > 0 && (
          <Text size="sm" mt="xs">
            In common: {common.join(', ')}
          </Text>
        )}
      </Section>
      <Section
        title="4. Queries"
        aside={<Passes passes={subscriptions.some((one) => one.hasChannel && one.queriesHold)} />}
      >
        <Stack gap="sm">
          {subscriptions.length === 0 && <Text size="sm" c="dimmed">The connection has no subscription.</Text>}
          {subscriptions.map((one) => (
            <Paper key={one.id} withBorder radius="sm" p="sm">
              <Group justify="space-between" mb={6}>
                <Text className="mono">{one.id}</Text>
                <Group gap={6}>
                  <Passes passes={one.hasChannel} yes="has the channel" no="other channels" />
                  {one.hasChannel && <Passes passes={one.queriesHold} yes="queries hold" no="queries do not hold" />}
                  {one.inTime === false && <Passes passes={false} no="subscribed later" />}
                </Group>
              </Group>
              <Names of={one.channels} />
              {one.queries.map((check) => (
                <Group key={check.query} justify="space-between" mt="xs" wrap="nowrap" align="flex-start">
                  <div>
                    <Text className="mono">{check.query}</Text>
                    <Text size="xs" c="dimmed">
                      the payload has <span className="mono">{check.actual === null ? 'nothing there, or null' : JSON.stringify(check.actual)}</span>
                    </Text>
                  </div>
                  <Passes passes={check.holds} yes="holds" no="does not" />
                </Group>
              ))}
              {one.queries.length === 0 && (
                <Text size="sm" c="dimmed" mt="xs">
                  No queries: everything passes.
                </Text>
              )}
            </Paper>
          ))}
        </Stack>
      </Section>
    </Stack>
  );
}

function Beside({ event, connection }: { event: string[]; connection: string[] }) {
  return (
    <SimpleGrid cols={{ base: 1, sm: 2 }}>
      <div>
        <Text size="xs" c="dimmed" mb={4}>
          The event
        </Text>
        <Names of={event} />
      </div>
      <div>
        <Text size="xs" c="dimmed" mb={4}>
          The connection
        </Text>
        <Names of={connection} />
      </div>
    </SimpleGrid>
  );
}
