// Why a connection gets an event, or why not; and which of many do.
import { Alert, Button, Group, JsonInput, Paper, SegmentedControl, SimpleGrid, Stack, Table, Text, TextInput } from '@mantine/core';
import { useEffect, useRef, useState } from 'react';
import { api, type Explained, type ExplainedToMany, type Which } from '../api';
import { said } from '../live';
import { Names, Passes, Section, Trouble } from '../part';
import { link } from '../route';
import { plural } from '../words';

const EXAMPLE = JSON.stringify({ channels: ['documents'], roles: ['any'], payload: { hello: 'world' } }, null, 2);

export function Explain({ query }: { query: URLSearchParams }) {
  const [connection, setConnection] = useState(query.get('connection') ?? '');
  const [user, setUser] = useState(query.get('user') ?? '');
  const [project, setProject] = useState(query.get('project') ?? '');
  const [event, setEvent] = useState(query.get('event') ?? '');
  const [way, setWay] = useState(query.get('event') || !query.get('connection') ? 'id' : 'body');
  const [body, setBody] = useState(EXAMPLE);
  const [problem, setProblem] = useState<string>();
  const [answer, setAnswer] = useState<{ unpublished: string | null; one: Explained[]; many: Many[] }>();
  // Answers may come in another order than they were asked for.
  const asks = useRef(0);

  const explain = async () => {
    const ask = ++asks.current;
    setProblem(undefined);
    setAnswer(undefined);
    try {
      const which: Which = way === 'id' ? { event: event.trim() } : { body: JSON.parse(body) };
      const where = { project: project.trim(), ...which };
      if (connection.trim()) {
        const { unpublished, events } = await api.explain({ connection: connection.trim(), ...where });
        if (ask === asks.current) setAnswer({ unpublished, one: events, many: [] });
      } else {
        const asked = { ...where, user: user.trim() || undefined };
        const { unpublished, events, next } = await api.explainToMany(asked);
        if (ask === asks.current) setAnswer({ unpublished, one: [], many: events.map((explained) => ({ explained, next, asked })) });
      }
    } catch (error) {
      if (ask === asks.current) setProblem(said(error));
    }
  };
  // Somebody who came by a link that says it all wants the answer.
  useEffect(() => {
    if (query.get('project') && query.get('event')) void explain();
  }, []); // eslint-disable-line

  return (
    <Stack>
      <Paper withBorder radius="md" p="md" component="form" onSubmit={(event: React.FormEvent) => (event.preventDefault(), void explain())}>
        <Stack>
          <SimpleGrid cols={{ base: 1, sm: 3 }}>
            <TextInput
              label="Connection"
              placeholder="all of them"
              description={<span className="described">As the list of <a className="link" href={link("connections", "", project ? { project } : {})}>connections</a> names it: 0-12.3</span>}
              value={connection}
              onChange={(event) => setConnection(event.currentTarget.value)}
            />
            <TextInput
              label="Or user"
              placeholder="any"
              description="All connections of this user."
              value={user}
              onChange={(event) => setUser(event.currentTarget.value)}
              disabled={connection.trim() !== ''}
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
              { value: 'body', label: 'A new event' },
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
            <JsonInput label="Event" description="As it would be published. Nothing is." value={body} onChange={setBody} autosize minRows={6} maxRows={20} validationError="This is no JSON." />
          )}
          <Group>
            <Button type="submit">Explain</Button>
          </Group>
        </Stack>
      </Paper>
      <Trouble text={problem} />
      {answer?.unpublished && <Alert color="orange">It would not be published: {answer.unpublished}</Alert>}
      {answer?.one.map((explained, number) => <Answer key={number} explained={explained} />)}
      {answer?.many.map((many, number) => <Crowd key={`${asks.current}-${number}`} first={many} number={number} />)}
    </Stack>
  );
}

/** An event beside the first connections that were asked about, and how to ask for more. */
interface Many {
  explained: ExplainedToMany;
  next: string | null | undefined;
  asked: { project: string; user?: string } & Which;
}

function Crowd({ first, number }: { first: Many; number: number }) {
  const [connections, setConnections] = useState(first.explained.connections);
  const [next, setNext] = useState(first.next);
  const [problem, setProblem] = useState<string>();
  const [isAsking, setIsAsking] = useState(false);
  const { asked } = first;
  const more = async () => {
    setProblem(undefined);
    setIsAsking(true);
    try {
      const answer = await api.explainToMany({ ...asked, from: next ?? undefined });
      setConnections((known) => [...known, ...(answer.events[number]?.connections ?? [])]);
      setNext(answer.next);
    } catch (error) {
      setProblem(said(error));
    } finally {
      setIsAsking(false);
    }
  };
  const delivered = connections.filter((one) => one.delivered).length;
  const details = (id: string) =>
    'event' in asked ? link('explain', '', { connection: id, project: asked.project, event: asked.event }) : link('connections', id);
  return (
    <Section title={first.explained.name ?? 'The event'}>
      <Text size="sm" role="status" mb="xs">
        {connections.length === 0
          ? next
            ? 'None among the connections that were looked at so far.'
            : 'Nobody is connected who could get it.'
          : `${delivered} of ${plural(connections.length, 'connection')} ${delivered === 1 ? 'gets' : 'get'} it${next ? ', of those that were looked at so far' : ''}.`}
      </Text>
      {connections.length > 0 && (
        <div role="region" aria-label="Connections and why">
          <Table>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>Connection</Table.Th>
                <Table.Th>Gets it</Table.Th>
                <Table.Th>Why</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {connections.map((one) => (
                <Table.Tr key={one.id}>
                  <Table.Td className="mono nowrap">
                    <a className="link" href={details(one.id)}>
                      {one.id}
                    </a>
                    <Text size="xs" c="dimmed">
                      {one.user ?? 'guest'}
                    </Text>
                  </Table.Td>
                  <Table.Td>
                    <Passes passes={one.delivered} yes="yes" no="no" />
                  </Table.Td>
                  <Table.Td>{one.verdict}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </div>
      )}
      <Trouble text={problem} />
      {next && (
        <Group mt="sm">
          <Button variant="default" loading={isAsking} onClick={() => void more()}>
            More connections
          </Button>
        </Group>
      )}
    </Section>
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
