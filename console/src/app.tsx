// The frame around every page: where one can go, how the server is, and the admin key if it wants one.
import {
  ActionIcon,
  Alert,
  AppShell,
  Badge,
  Burger,
  Button,
  Center,
  Group,
  NavLink,
  Paper,
  PasswordInput,
  Stack,
  Text,
  Title,
  useComputedColorScheme,
  useMantineColorScheme,
} from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import {
  IconActivity,
  IconFolders,
  IconHelpCircle,
  IconListDetails,
  IconMoon,
  IconPlugConnected,
  IconSend,
  IconSun,
} from '@tabler/icons-react';
import { useEffect, useState, type ReactNode } from 'react';
import { adminKey, api, whenUnauthorized, type Overview } from './api';
import { Boundary } from './boundary';
import { said, useLive, type Live } from './live';
import { Connections } from './page/connections';
import { Events } from './page/events';
import { Explain } from './page/explain';
import { OverviewPage } from './page/overview';
import { Projects } from './page/projects';
import { Publish } from './page/publish';
import { link, useRoute } from './route';

const PAGES = [
  { page: 'overview', label: 'Overview', icon: IconActivity },
  { page: 'connections', label: 'Connections', icon: IconPlugConnected },
  { page: 'events', label: 'Events', icon: IconListDetails },
  { page: 'explain', label: 'Explain', icon: IconHelpCircle },
  { page: 'publish', label: 'Publish', icon: IconSend },
  { page: 'projects', label: 'Projects', icon: IconFolders },
];

export function App() {
  const [locked, setLocked] = useState(false);
  useEffect(() => whenUnauthorized(() => setLocked(true)), []);
  return locked ? <Unlock onUnlocked={() => setLocked(false)} /> : <Frame />;
}

function Frame() {
  const route = useRoute();
  const [menu, { toggle, close }] = useDisclosure();
  const overview = useLive(api.overview, 2_000);
  const label = PAGES.find(({ page }) => page === route.page)?.label ?? 'Overview';
  useEffect(() => {
    document.title = `${label} · Realtime console`;
    close();
  }, [label, close]);
  return (
    <AppShell header={{ height: 56 }} navbar={{ width: 210, breakpoint: 'sm', collapsed: { mobile: !menu } }} padding="md">
      <AppShell.Header>
        <a href="#main" className="skip" onClick={(event) => (event.preventDefault(), document.getElementById('main')?.focus())}>
          Skip to content
        </a>
        <Group h="100%" px="md" justify="space-between" wrap="nowrap">
          <Group gap="sm" wrap="nowrap">
            <Burger opened={menu} onClick={toggle} hiddenFrom="sm" size="sm" aria-label="Menu" aria-expanded={menu} />
            <a className="brand" href={link('overview')}>
              <img src="/console/icon.svg" alt="" />
              Realtime
            </a>
          </Group>
          <Group gap="sm" wrap="nowrap">
            <State overview={overview} />
            <ColorScheme />
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p="sm" aria-label="Pages">
        {PAGES.map(({ page, label, icon: Icon }) => (
          <NavLink
            key={page}
            href={link(page)}
            label={label}
            leftSection={<Icon size={18} aria-hidden />}
            active={route.page === page}
            aria-current={route.page === page ? 'page' : undefined}
            variant="light"
            onClick={close}
          />
        ))}
        <Text size="xs" c="dimmed" mt="auto" px="sm">
          {overview.value ? `Version ${overview.value.version}` : ''}
        </Text>
      </AppShell.Navbar>
      <AppShell.Main id="main" tabIndex={-1}>
        <div className="content">
          <Title order={1} size="h2" mb="md">
            {label}
          </Title>
          <Boundary key={`${route.page}/${route.rest}`}>
            <Page route={route} overview={overview} />
          </Boundary>
        </div>
      </AppShell.Main>
    </AppShell>
  );
}

function Page({ route, overview }: { route: ReturnType<typeof useRoute>; overview: Live<Overview> }): ReactNode {
  switch (route.page) {
    case 'connections':
      return <Connections id={route.rest} query={route.query} />;
    case 'events':
      return <Events />;
    case 'explain':
      return <Explain key={route.query.toString()} query={route.query} />;
    case 'publish':
      return <Publish />;
    case 'projects':
      return <Projects id={route.rest} />;
    default:
      return <OverviewPage overview={overview} />;
  }
}

function State({ overview }: { overview: Live<Overview> }) {
  if (overview.problem) {
    return (
      <Badge color="red" variant="light" role="status">
        No answer
      </Badge>
    );
  }
  if (!overview.value) return null;
  return overview.value.ready ? (
    <Badge color="teal" variant="light" role="status">
      Ready
    </Badge>
  ) : (
    <Badge color="orange" variant="light" role="status">
      Not ready
    </Badge>
  );
}

function ColorScheme() {
  const { setColorScheme } = useMantineColorScheme();
  const scheme = useComputedColorScheme('light');
  const other = scheme === 'light' ? 'dark' : 'light';
  return (
    <ActionIcon variant="default" size="lg" aria-label={`Use ${other} colours`} onClick={() => setColorScheme(other)}>
      {scheme === 'light' ? <IconMoon size={18} aria-hidden /> : <IconSun size={18} aria-hidden />}
    </ActionIcon>
  );
}

function Unlock({ onUnlocked }: { onUnlocked: () => void }) {
  const [key, setKey] = useState('');
  const [problem, setProblem] = useState<string>();
  const unlock = async () => {
    adminKey.set(key.trim());
    try {
      await api.overview();
      onUnlocked();
    } catch (error) {
      adminKey.forget();
      setProblem(said(error));
    }
  };
  return (
    <Center mih="100vh" p="md" component="main">
      <Paper
        withBorder
        radius="md"
        p="xl"
        w="100%"
        maw={420}
        component="form"
        onSubmit={(event: React.FormEvent) => (event.preventDefault(), void unlock())}
      >
        <Stack>
          <div className="brand">
            <img src="/console/icon.svg" alt="" />
            <Title order={1} size="h3">
              Realtime console
            </Title>
          </div>
          <PasswordInput
            label="Admin key"
            description="The server's setting internal.key. It is kept until this tab is closed."
            value={key}
            onChange={(event) => setKey(event.currentTarget.value)}
            autoComplete="current-password"
            required
          />
          {problem && (
            <Alert color="red" role="alert">
              {problem}
            </Alert>
          )}
          <Button type="submit">Open the console</Button>
        </Stack>
      </Paper>
    </Center>
  );
}
