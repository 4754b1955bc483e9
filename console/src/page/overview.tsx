// How the server is, and what it has done in the last minutes.
import { Group, Paper, SimpleGrid, Stack, Table, Text } from '@mantine/core';
import { api, type History, type Overview, type Stats } from '../api';
import { useLive, type Live } from '../live';
import { Passes, Section, Trouble } from '../part';
import { Plot } from '../plot';
import { link } from '../route';
import { bytes, count, duration, plural } from '../words';

export function OverviewPage({ overview }: { overview: Live<Overview> }) {
  const history = useLive(api.history, 2_000);
  const now = overview.value;
  return (
    <Stack>
      <Trouble text={overview.problem} />
      {now && (
        <>
          <Trouble text={now.trouble ?? undefined} />
          <SimpleGrid cols={{ base: 2, sm: 4 }}>
            <Stat label="Connections" value={count(now.stats.connections)} note={plural(now.stats.subscriptions, 'subscription')} />
            <Stat label="Events" value={count(now.stats.events)} note={`${count(now.stats.deliveries)} deliveries`} />
            <Stat
              label="Memory"
              value={now.memory.bytes === null ? 'unknown' : bytes(now.memory.bytes)}
              note={now.memory.ceiling === null ? 'no ceiling' : `of ${bytes(now.memory.ceiling)}`}
            />
            <Stat label="Up for" value={duration(now.uptimeSeconds)} note={`${now.shards.length} shards`} />
          </SimpleGrid>
        </>
      )}
      {history.value && <Plots history={history.value} />}
      {now && (
        <SimpleGrid cols={{ base: 1, md: 2 }}>
          <Stack>
          <Health now={now} />
          <Section title="Busiest projects">
            {now.projects.length ? (
              <Table>
                <Table.Thead>
                  <Table.Tr>
                    <Table.Th>Project</Table.Th>
                    <Table.Th className="number">Connections</Table.Th>
                  </Table.Tr>
                </Table.Thead>
                <Table.Tbody>
                  {now.projects.slice(0, 10).map((project) => (
                    <Table.Tr key={project.id}>
                      <Table.Td>
                        <a className="link" href={link('connections', '', { project: project.id })}>
                          {project.id}
                        </a>
                      </Table.Td>
                      <Table.Td className="number">{count(project.connections)}</Table.Td>
                    </Table.Tr>
                  ))}
                </Table.Tbody>
              </Table>
            ) : (
              <Text size="sm" c="dimmed">
                Nobody is connected.
              </Text>
            )}
          </Section>
          <Section title="Shards">
            <Table>
              <Table.Thead>
                <Table.Tr>
                  <Table.Th>Shard</Table.Th>
                  <Table.Th className="number">Connections</Table.Th>
                  <Table.Th className="number">Jobs waiting</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {now.shards.map((shard, number) => (
                  <Table.Tr key={number}>
                    <Table.Td>{number}</Table.Td>
                    <Table.Td className="number">{count(shard.connections)}</Table.Td>
                    <Table.Td className="number">{count(shard.jobsWaiting)}</Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          </Section>
          </Stack>
          <Section title="Since the start">
            <Figures stats={now.stats} />
          </Section>
        </SimpleGrid>
      )}
    </Stack>
  );
}

function Stat({ label, value, note }: { label: string; value: string; note: string }) {
  return (
    <Paper withBorder radius="md" p="md" className="stat">
      <Text size="xs" c="dimmed">
        {label}
      </Text>
      <b>{value}</b>
      <Text size="xs" c="dimmed">
        {note}
      </Text>
    </Paper>
  );
}

function Health({ now }: { now: Overview }) {
  const { bus, directory } = now;
  return (
    <Section title="Health">
      <Stack gap="xs">
        <Fact label="Clients may be sent here">
          <Passes passes={now.ready} yes="ready" no="not ready" />
        </Fact>
        <Fact label={`Bus: ${bus.name}`}>
          <Passes passes={bus.connected} yes="connected" no="away" />
        </Fact>
        <Fact label={`Directory: ${directory.name}`}>
          <Group gap="xs">
            {directory.milliseconds !== null && (
              <Text size="xs" c="dimmed">
                {directory.milliseconds.toFixed(1)} ms
              </Text>
            )}
            <Passes passes={directory.answers} yes="answers" no="away" />
          </Group>
        </Fact>
        {directory.trouble && <Trouble text={directory.trouble} />}
      </Stack>
    </Section>
  );
}

function Fact({ label, children }: { label: string; children: React.ReactNode }) {
  return (
    <Group justify="space-between">
      <Text size="sm">{label}</Text>
      {children}
    </Group>
  );
}

function Figures({ stats }: { stats: Stats }) {
  const rows: [string, string][] = [
    ['Connections opened', count(stats.opened)],
    ['Clients not let in', count(stats.refused)],
    ['Closed for reading too slowly', count(stats.slow)],
    ['Events left out for slow clients', count(stats.leftOut)],
    ['Came back and got all they had missed', count(stats.recovered)],
    ['Came back and could not be vouched for', count(stats.unrecovered)],
    ['Times that events may have been missed', count(stats.gaps)],
    ['Kept for clients that are away', bytes(stats.replayBytes)],
  ];
  return (
    <Table>
      <Table.Tbody>
        {rows.map(([label, value]) => (
          <Table.Tr key={label}>
            <Table.Th fw={400}>{label}</Table.Th>
            <Table.Td className="number">{value}</Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}

function Plots({ history: { samples } }: { history: History }) {
  const later = samples.slice(1);
  const times = later.map(({ at }) => at);
  const rate = (read: (stats: Stats) => number) =>
    later.map(({ at, stats }, index) => {
      const before = samples[index]!;
      return Math.max(0, ((read(stats) - read(before.stats)) * 1000) / Math.max(1, at - before.at));
    });
  return (
    <SimpleGrid cols={{ base: 1, md: 2 }}>
      <Plot title="Events" unit="/s" times={times} lines={[{ label: 'in', className: 'one', points: rate((s) => s.events) }]} />
      <Plot title="Deliveries" unit="/s" times={times} lines={[{ label: 'queued', className: 'two', points: rate((s) => s.deliveries) }]} />
      <Plot
        title="Connections"
        unit=""
        times={times}
        lines={[{ label: 'there', className: 'one', points: later.map(({ stats }) => stats.connections) }]}
      />
      <Plot
        title="Subscriptions"
        unit=""
        times={times}
        lines={[{ label: 'there', className: 'two', points: later.map(({ stats }) => stats.subscriptions) }]}
      />
      <Plot
        title="Coming and going"
        unit="/s"
        times={times}
        lines={[
          { label: 'opened', className: 'two', points: rate((s) => s.opened) },
          { label: 'closed', className: 'three', points: rate((s) => s.closed) },
          { label: 'refused', className: 'four', points: rate((s) => s.refused) },
        ]}
      />
      <Plot
        title="Coming back"
        unit="/s"
        times={times}
        lines={[
          { label: 'got all they had missed', className: 'two', points: rate((s) => s.recovered) },
          { label: 'could not be vouched for', className: 'three', points: rate((s) => s.unrecovered) },
        ]}
      />
    </SimpleGrid>
  );
}
