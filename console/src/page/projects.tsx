// Projects, and the keys and platforms of one, where they are in the embedded database.
import { Alert, Button, CopyButton, Group, NativeSelect, NumberInput, Paper, SimpleGrid, Stack, Table, Text, TextInput } from '@mantine/core';
import { IconArrowLeft } from '@tabler/icons-react';
import { useState } from 'react';
import { api } from '../api';
import { said, useLive } from '../live';
import { Confirm, Section, Trouble } from '../part';
import { go, link } from '../route';
import { count } from '../words';

export function Projects({ id }: { id: string }) {
  return id ? <Detail id={id} /> : <List />;
}

function List() {
  const live = useLive(api.projects, 10_000);
  const [id, setId] = useState('');
  const [name, setName] = useState('');
  const [problem, setProblem] = useState<string>();
  const create = async () => {
    setProblem(undefined);
    try {
      const made = await api.createProject(id.trim(), name.trim());
      go(link('projects', made.id));
    } catch (error) {
      setProblem(said(error));
    }
  };
  return (
    <Stack>
      <Trouble text={live.problem} />
      {live.value && !live.value.embedded && (
        <Alert color="blue">Projects are in an Appwrite installation here: these are the ones with clients. Change them in Appwrite's console.</Alert>
      )}
      {live.value && (
        <Paper withBorder radius="md" className="scroll">
          <Table highlightOnHover>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>Project</Table.Th>
                <Table.Th>Name</Table.Th>
                <Table.Th className="number">Connections</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {live.value.projects.map((project) => (
                <Table.Tr key={project.id}>
                  <Table.Td className="mono">
                    {project.name === null ? (
                      project.id
                    ) : (
                      <a className="link" href={link('projects', project.id)}>
                        {project.id}
                      </a>
                    )}
                  </Table.Td>
                  <Table.Td>{project.name ?? ''}</Table.Td>
                  <Table.Td className="number">
                    <a className="link" href={link('connections', '', { project: project.id })} aria-label={`${project.connections} connections of ${project.id}`}>
                      {count(project.connections)}
                    </a>
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Paper>
      )}
      {live.value?.embedded && (
        <Section title="New project">
          <form onSubmit={(event) => (event.preventDefault(), void create())}>
            <SimpleGrid cols={{ base: 1, sm: 3 }}>
              <TextInput label="Id" placeholder="drawn if empty" value={id} onChange={(event) => setId(event.currentTarget.value)} />
              <TextInput label="Name" value={name} onChange={(event) => setName(event.currentTarget.value)} required />
              <Group align="flex-end">
                <Button type="submit">Create project</Button>
              </Group>
            </SimpleGrid>
            <Trouble text={problem} />
          </form>
        </Section>
      )}
    </Stack>
  );
}

function Detail({ id }: { id: string }) {
  const live = useLive((signal) => api.project(id, signal), 0, id);
  const project = live.value;
  return (
    <Stack>
      <a className="link" href={link('projects')}>
        <Group gap={4}>
          <IconArrowLeft size={16} aria-hidden /> All projects
        </Group>
      </a>
      <Trouble text={live.problem} />
      {project && (
        <>
          <Group justify="space-between">
            <Text fw={600} component="h2" size="lg">
              {project.id}
            </Text>
            <Confirm label="Remove project" title={`Remove ${id}?`} act={async () => (await api.removeProject(id), go(link('projects')))}>
              <Text size="sm">Its users, keys and platforms go with it. Clients that are connected stay until they come again.</Text>
            </Confirm>
          </Group>
          <Keys id={id} keys={project.keys} again={live.again} />
          <Platforms id={id} platforms={project.platforms} again={live.again} />
        </>
      )}
    </Stack>
  );
}

type Detailed = Awaited<ReturnType<typeof api.project>>;

function Keys({ id, keys, again }: { id: string; keys: Detailed['keys']; again: () => Promise<void> }) {
  const [name, setName] = useState('');
  const [days, setDays] = useState<number | string>('');
  const [problem, setProblem] = useState<string>();
  const [secret, setSecret] = useState<string>();
  const create = async () => {
    setProblem(undefined);
    try {
      const made = await api.createKey(id, name.trim(), typeof days === 'number' ? days : null);
      setSecret(made.secret);
      setName('');
      await again();
    } catch (error) {
      setProblem(said(error));
    }
  };
  return (
    <Section title="Keys for publishing">
      {keys.length > 0 && (
        <div className="scroll">
          <Table>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>Name</Table.Th>
                <Table.Th visibleFrom="xs">Allows</Table.Th>
                <Table.Th>Good until</Table.Th>
                <Table.Th />
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {keys.map((key) => (
                <Table.Tr key={key.id}>
                  <Table.Td>{key.name}</Table.Td>
                  <Table.Td className="mono nowrap" visibleFrom="xs">{key.scopes.join(', ')}</Table.Td>
                  <Table.Td>{key.expires ?? 'for ever'}</Table.Td>
                  <Table.Td className="number">
                    <Confirm compact label="Remove" title={`Remove the key ${key.name}?`} act={async () => (await api.removeKey(id, key.id), await again())}>
                      <Text size="sm">Backends that use it can publish no more.</Text>
                    </Confirm>
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </div>
      )}
      <form onSubmit={(event) => (event.preventDefault(), void create())}>
        <SimpleGrid cols={{ base: 1, sm: 3 }} mt="md">
          <TextInput label="Name of a new key" value={name} onChange={(event) => setName(event.currentTarget.value)} required />
          <NumberInput label="Good for days" placeholder="for ever" min={1} max={3650} allowDecimal={false} value={days} onChange={setDays} hideControls />
          <Group align="flex-end">
            <Button type="submit">Create key</Button>
          </Group>
        </SimpleGrid>
      </form>
      <Trouble text={problem} />
      {secret && (
        <Alert color="teal" title="The key, shown this once" mt="md" role="status">
          <Text className="mono" mb="xs">
            {secret}
          </Text>
          <CopyButton value={secret}>
            {({ copied, copy }) => (
              <Button size="xs" variant="default" onClick={copy}>
                {copied ? 'Copied' : 'Copy'}
              </Button>
            )}
          </CopyButton>
        </Alert>
      )}
    </Section>
  );
}

const KINDS = ['web', 'flutter-web', 'android', 'apple', 'windows', 'linux', 'scheme'];

function Platforms({ id, platforms, again }: { id: string; platforms: Detailed['platforms']; again: () => Promise<void> }) {
  const [kind, setKind] = useState('web');
  const [where, setWhere] = useState('');
  const [problem, setProblem] = useState<string>();
  const isPage = kind.endsWith('web');
  const create = async () => {
    setProblem(undefined);
    try {
      const platform = { name: where.trim(), kind, hostname: isPage ? where.trim() : '', key: isPage ? '' : where.trim() };
      await api.createPlatform(id, platform);
      setWhere('');
      await again();
    } catch (error) {
      setProblem(said(error));
    }
  };
  return (
    <Section title="Platforms: pages and apps that may connect">
      {platforms.length > 0 && (
        <div className="scroll">
          <Table>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>Name</Table.Th>
                <Table.Th>Type</Table.Th>
                <Table.Th>Host or id</Table.Th>
                <Table.Th />
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {platforms.map((platform) => (
                <Table.Tr key={platform.id}>
                  <Table.Td>{platform.name}</Table.Td>
                  <Table.Td>{platform.kind}</Table.Td>
                  <Table.Td className="mono">{platform.hostname || platform.key}</Table.Td>
                  <Table.Td className="number">
                    <Confirm
                      compact
                      label="Remove"
                      title={`Remove the platform ${platform.name}?`}
                      act={async () => (await api.removePlatform(id, platform.id), await again())}
                    >
                      <Text size="sm">Pages or apps of this platform can connect no more.</Text>
                    </Confirm>
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </div>
      )}
      <form onSubmit={(event) => (event.preventDefault(), void create())}>
        <SimpleGrid cols={{ base: 1, sm: 3 }} mt="md">
          <NativeSelect label="Type of a new platform" data={KINDS} value={kind} onChange={(event) => setKind(event.currentTarget.value)} />
          <TextInput
            label={isPage ? 'Host' : 'Bundle, package or scheme'}
            placeholder={isPage ? 'app.example.com or *.example.com' : 'com.example.app'}
            value={where}
            onChange={(event) => setWhere(event.currentTarget.value)}
            required
          />
          <Group align="flex-end">
            <Button type="submit">Create platform</Button>
          </Group>
        </SimpleGrid>
      </form>
      <Trouble text={problem} />
    </Section>
  );
}
