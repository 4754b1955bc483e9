// Who is connected; one connection with all that it may hear; letting somebody go.
import { Badge, Button, Checkbox, Group, Paper, SimpleGrid, Stack, Table, Text, TextInput } from '@mantine/core';
import { IconArrowLeft } from '@tabler/icons-react';
import { useEffect, useState } from 'react';
import { api, type Connection } from '../api';
import { useLive } from '../live';
import { Confirm, Names, Section, Trouble } from '../part';
import { go, link } from '../route';
import { bytes, count, duration, plural } from '../words';

export function Connections({ id, query }: { id: string; query: URLSearchParams }) {
  return id ? <Detail id={id} /> : <List query={query} />;
}

function List({ query }: { query: URLSearchParams }) {
  const filter = { project: query.get('project') ?? '', user: query.get('user') ?? '', channel: query.get('channel') ?? '' };
  const from = query.get('from') ?? '';
  const [draft, setDraft] = useState(filter);
  const said = query.toString();
  useEffect(() => setDraft(filter), [said]); // eslint-disable-line
  const page = useLive((signal) => api.connections({ ...filter, from }, signal), 5_000, said);
  const search = (next: Record<string, string>) =>
    go(link('connections', '', Object.fromEntries(Object.entries(next).filter(([, value]) => value))));
  const found = page.value?.connections ?? [];
  return (
    <Stack>
      <Paper withBorder radius="md" p="md" component="form" onSubmit={(event: React.FormEvent) => (event.preventDefault(), search(draft))}>
        <SimpleGrid cols={{ base: 1, sm: 4 }}>
          {(['project', 'user', 'channel'] as const).map((name) => (
            <TextInput
              key={name}
              label={name[0]!.toUpperCase() + name.slice(1)}
              placeholder="any"
              value={draft[name]}
              onChange={(event) => setDraft({ ...draft, [name]: event.currentTarget.value })}
            />
          ))}
          <Group align="flex-end" gap="xs">
            <Button type="submit">Find</Button>
            {said && (
              <Button variant="default" onClick={() => search({})}>
                Clear
              </Button>
            )}
          </Group>
        </SimpleGrid>
      </Paper>
      <Trouble text={page.problem} />
      {filter.project && filter.user && (
        <Group>
          <Button component="a" href={link('explain', '', { project: filter.project, user: filter.user })} variant="light">
            Explain an event to {filter.user}
          </Button>
          <EndUser project={filter.project} user={filter.user} after={page.again} />
        </Group>
      )}
      {page.value && !found.length && <Text c="dimmed">No connection is like that.</Text>}
      {found.length > 0 && (
        <Paper withBorder radius="md" className="scroll">
          <Table highlightOnHover miw={720}>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>Connection</Table.Th>
                <Table.Th>Project</Table.Th>
                <Table.Th>User</Table.Th>
                <Table.Th>Transport</Table.Th>
                <Table.Th>State</Table.Th>
                <Table.Th className="number">Subscriptions</Table.Th>
                <Table.Th className="number">Waiting</Table.Th>
                <Table.Th className="number">For</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {found.map((connection) => (
                <Table.Tr key={connection.id}>
                  <Table.Td className="mono nowrap">
                    <a className="link" href={link('connections', connection.id)}>
                      {connection.id}
                    </a>
                  </Table.Td>
                  <Table.Td>{connection.project ?? ''}</Table.Td>
                  <Table.Td>{connection.user ?? <Text span c="dimmed" size="sm">guest</Text>}</Table.Td>
                  <Table.Td>{connection.transport}</Table.Td>
                  <Table.Td>
                    <Phase of={connection} />
                  </Table.Td>
                  <Table.Td className="number">{count(connection.subscriptions)}</Table.Td>
                  <Table.Td className="number">{count(connection.waitingMessages)}</Table.Td>
                  <Table.Td className="number">{duration(connection.seconds)}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Paper>
      )}
      {(from || page.value?.next) && (
        <Group>
          {from && (
            <Button variant="default" onClick={() => history.back()}>
              Back
            </Button>
          )}
          {page.value?.next && (
            <Button variant="default" onClick={() => search({ ...filter, from: page.value!.next! })}>
              Next page
            </Button>
          )}
        </Group>
      )}
    </Stack>
  );
}

function Phase({ of }: { of: Connection }) {
  if (of.rechecking) return <Badge color="orange" variant="light">roles read again</Badge>;
  if (of.catchingUp) return <Badge color="blue" variant="light">catching up</Badge>;
  return (
    <Badge color={of.phase === 'live' ? 'teal' : 'gray'} variant="light">
      {of.phase}
    </Badge>
  );
}

function Detail({ id }: { id: string }) {
  const live = useLive((signal) => api.connection(id, signal), 2_000, id);
  const [mayComeBack, setMayComeBack] = useState(true);
  const connection = live.value;
  return (
    <Stack>
      <a className="link" href={link('connections')}>
        <Group gap={4}>
          <IconArrowLeft size={16} aria-hidden /> All connections
        </Group>
      </a>
      <Trouble text={live.problem} />
      {connection && (
        <>
          <Section
            title={`Connection ${connection.id}`}
            aside={
              <Group gap="xs">
                <Button component="a" href={link('explain', '', { connection: id, project: connection.project ?? '' })} variant="light">
                  Explain an event
                </Button>
                <Confirm label="Disconnect" title="Disconnect this client?" act={async () => (await api.endConnection(id, mayComeBack), go(link('connections')))}>
                  <ComeBack value={mayComeBack} set={setMayComeBack} />
                </Confirm>
              </Group>
            }
          >
            <SimpleGrid cols={{ base: 2, sm: 4 }} spacing="md">
              <Fact label="Project">{connection.project ?? '–'}</Fact>
              <Fact label="User">
                {connection.user ?? 'guest'}
                {connection.admin && ' (console)'}
                {connection.impersonated && ' (impersonated)'}
              </Fact>
              <Fact label="Transport">{connection.transport}</Fact>
              <Fact label="State">
                <Phase of={connection} />
              </Fact>
              <Fact label="Address">{connection.address ?? '–'}</Fact>
              <Fact label="Connected for">{duration(connection.seconds)}</Fact>
              <Fact label="Proof runs out in">{connection.expiresInSeconds === null ? 'never' : duration(connection.expiresInSeconds)}</Fact>
              <Fact label="Waiting">
                {plural(connection.waitingMessages, 'message')}, {bytes(connection.waitingBytes)}
              </Fact>
            </SimpleGrid>
            {connection.user && connection.project && !connection.admin && (
              <Group mt="md">
                <a className="link" href={link('connections', '', { project: connection.project, user: connection.user })}>
                  All connections of {connection.user}
                </a>
              </Group>
            )}
          </Section>
          <Section title={plural(connection.roles.length, 'role')}>
            <Names of={connection.roles} />
          </Section>
          <Section title={plural(connection.subscriptionList.length, 'subscription')}>
            {connection.subscriptionList.length === 0 && <Text size="sm" c="dimmed">It listens to nothing.</Text>}
            <Stack gap="sm">
              {connection.subscriptionList.map((subscription) => (
                <Paper key={subscription.id} withBorder radius="sm" p="sm">
                  <Text className="mono" mb={6}>
                    {subscription.id}
                  </Text>
                  <Names of={subscription.channels} />
                  {subscription.queries.map((query) => (
                    <Text key={query} className="mono" mt={6} c="dimmed">
                      {query}
                    </Text>
                  ))}
                </Paper>
              ))}
            </Stack>
          </Section>
        </>
      )}
    </Stack>
  );
}

function Fact({ label, children }: { label: string; children: React.ReactNode }) {
  return (
    <div>
      <Text size="xs" c="dimmed">
        {label}
      </Text>
      <Text size="sm" component="div">
        {children}
      </Text>
    </div>
  );
}

function EndUser({ project, user, after }: { project: string; user: string; after: () => Promise<void> }) {
  const [mayComeBack, setMayComeBack] = useState(true);
  return (
    <Confirm
      label={`Disconnect ${user}`}
      title={`Disconnect ${user} everywhere on this server?`}
      act={async () => {
        await api.endUser(project, user, mayComeBack);
        await after();
      }}
    >
      <ComeBack value={mayComeBack} set={setMayComeBack} />
    </Confirm>
  );
}

function ComeBack({ value, set }: { value: boolean; set: (value: boolean) => void }) {
  return (
    <Checkbox
      label="May come back"
      description="Code 3000: Appwrite's SDKs come back by themselves, ours only with a token provider. Otherwise code 1008, after which SDKs do not try again."
      checked={value}
      onChange={(event) => set(event.currentTarget.checked)}
    />
  );
}
