// Small parts that several pages are made of.
import { Alert, Badge, Button, Group, Modal, Paper, Stack, Text } from '@mantine/core';
import { IconCheck, IconX } from '@tabler/icons-react';
import { useState, type ReactNode } from 'react';
import { said } from './live';

export function Trouble({ text }: { text: string | undefined }) {
  return text ? (
    <Alert color="red" role="alert" mb="md">
      {text}
    </Alert>
  ) : null;
}

export function Section({ title, children, aside }: { title: string; children: ReactNode; aside?: ReactNode }) {
  return (
    <Paper withBorder radius="md" p="md">
      <Group justify="space-between" mb="xs">
        <Text component="h2" fw={600}>
          {title}
        </Text>
        {aside}
      </Group>
      {children}
    </Paper>
  );
}

export function Names({ of, none = 'none' }: { of: string[]; none?: string }) {
  if (!of.length) return <Text size="sm" c="dimmed">{none}</Text>;
  return (
    <Group gap={6}>
      {of.map((name) => (
        <Badge key={name} variant="default" tt="none" fw={500} radius="sm" className="mono" h="auto" styles={{ label: { whiteSpace: 'normal' } }}>
          {name}
        </Badge>
      ))}
    </Group>
  );
}

export function Passes({ passes, yes = 'passes', no = 'fails' }: { passes: boolean; yes?: string; no?: string }) {
  return passes ? (
    <Badge color="teal" variant="light" leftSection={<IconCheck size={12} aria-hidden />}>
      {yes}
    </Badge>
  ) : (
    <Badge color="red" variant="light" leftSection={<IconX size={12} aria-hidden />}>
      {no}
    </Badge>
  );
}

export function Json({ value }: { value: unknown }) {
  return (
    <Paper withBorder radius="sm" p="sm" bg="var(--mantine-color-default-hover)">
      <pre className="mono payload" tabIndex={0} aria-label="Payload">
        {JSON.stringify(value, null, 2)}
      </pre>
    </Paper>
  );
}

/** Asks before something is done that cannot be taken back. */
export function Confirm({
  label,
  title,
  children,
  act,
  compact = false,
}: {
  label: string;
  title: string;
  children?: ReactNode;
  act: () => Promise<unknown>;
  compact?: boolean;
}) {
  const [opened, setOpened] = useState(false);
  const [problem, setProblem] = useState<string>();
  const [busy, setBusy] = useState(false);
  const run = async () => {
    setBusy(true);
    try {
      await act();
      setOpened(false);
    } catch (error) {
      setProblem(said(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <Button color="red" variant="light" size={compact ? 'compact-sm' : 'sm'} onClick={() => (setProblem(undefined), setOpened(true))}>
        {label}
      </Button>
      <Modal opened={opened} onClose={() => setOpened(false)} title={title} closeButtonProps={{ 'aria-label': 'Close' }}>
        <Stack>
          {children}
          <Trouble text={problem} />
          <Group justify="flex-end">
            <Button variant="default" onClick={() => setOpened(false)}>
              Cancel
            </Button>
            <Button color="red" loading={busy} onClick={() => void run()}>
              {label}
            </Button>
          </Group>
        </Stack>
      </Modal>
    </>
  );
}
