// Events as they pass: a bounded part of them, and only while somebody looks.
import { Badge, Button, Drawer, Group, Paper, SimpleGrid, Stack, Text, TextInput } from '@mantine/core';
import { IconPlayerPause, IconPlayerPlay } from '@tabler/icons-react';
import { useEffect, useState } from 'react';
import { api, type Event } from '../api';
import { said, useLive } from '../live';
import { Json, Names, Section, Trouble } from '../part';
import { link } from '../route';
import { bytes, clock, count } from '../words';

/** Events that the page keeps. */
const KEPT = 200;
/** Milliseconds between two drawings: a flood must not keep the browser busy. */
const DRAW_EVERY = 250;
const NONE = { project: '', channel: '', name: '', text: '' };

interface Seen extends Event {
  at: number;
  number: number;
}

export function Events() {
  const [draft, setDraft] = useState(NONE);
  const [filter, setFilter] = useState(NONE);
  const [paused, setPaused] = useState(false);
  const [events, setEvents] = useState<Seen[]>([]);
  const [leftOut, setLeftOut] = useState(0);
  const [problem, setProblem] = useState<string>();
  const [chosen, setChosen] = useState<Seen>();

  useEffect(() => {
    if (paused) return;
    const stop = new AbortController();
    let [gathered, missed, number] = [[] as Seen[], 0, Date.now()];
    const timer = setInterval(() => {
      const [news, left] = [gathered, missed];
      [gathered, missed] = [[], 0];
      if (news.length) setEvents((known) => [...news.reverse(), ...known].slice(0, KEPT));
      if (left) setLeftOut((known) => known + left);
    }, DRAW_EVERY);
    const watch = async () => {
      while (!stop.signal.aborted) {
        try {
          await api.watch(
            filter,
            (said) => {
              setProblem(undefined);
              if (said.type === 'beat') missed += said.leftOut;
              else gathered.push({ ...said, at: Date.now(), number: number++ });
            },
            stop.signal,
          );
        } catch (error) {
          if (stop.signal.aborted) return;
          setProblem(said(error));
          await new Promise((again) => setTimeout(again, 2_000));
        }
      }
    };
    void watch();
    return () => {
      clearInterval(timer);
      stop.abort();
    };
  }, [filter, paused]);

  const clear = () => {
    setEvents([]);
    setLeftOut(0);
  };
  return (
    <Stack>
      <Paper
        withBorder
        radius="md"
        p="md"
        component="form"
        onSubmit={(event: React.FormEvent) => {
          event.preventDefault();
          clear();
          setFilter({ ...draft });
        }}
      >
        <SimpleGrid cols={{ base: 1, xs: 2, md: 5 }}>
          {(
            [
              ['project', 'Project', 'any'],
              ['channel', 'Channel', 'any'],
              ['name', 'Name has', 'such as .update'],
              ['text', 'Payload has', 'any text'],
            ] as const
          ).map(([name, label, placeholder]) => (
            <TextInput
              key={name}
              label={label}
              placeholder={placeholder}
              value={draft[name]}
              onChange={(event) => setDraft({ ...draft, [name]: event.currentTarget.value })}
            />
          ))}
          <Group align="flex-end" gap="xs">
            <Button type="submit" variant="light">
              Filter
            </Button>
          </Group>
        </SimpleGrid>
      </Paper>
      <Group justify="space-between">
        <Group gap="xs">
          <Button
            variant="default"
            leftSection={paused ? <IconPlayerPlay size={16} aria-hidden /> : <IconPlayerPause size={16} aria-hidden />}
            onClick={() => setPaused(!paused)}
          >
            {paused ? 'Go on' : 'Pause'}
          </Button>
          <Button variant="default" onClick={clear}>
            Clear
          </Button>
        </Group>
        <Text size="sm" c="dimmed" role="status">
          {paused ? 'Paused.' : problem ? '' : 'Watching.'}
          {leftOut > 0 && ` ${count(leftOut)} events more passed than are shown.`}
        </Text>
      </Group>
      <Trouble text={problem} />
      <Paper withBorder radius="md">
        {events.length === 0 && (
          <Text c="dimmed" p="md">
            No event has passed since the page was opened.
          </Text>
        )}
        {events.map((event) => (
          <button key={event.number} type="button" className="event" onClick={() => setChosen(event)}>
            <small className="mono">{clock(event.at)}</small>
            <span className="project mono">{event.project}</span>
            <span className="mono">{event.name ?? event.channels[0] ?? event.id}</span>
            <small className="nowrap">{bytes(event.bytes)}</small>
            <span className="preview mono">{event.large ? 'large payload' : JSON.stringify(event.payload)}</span>
          </button>
        ))}
      </Paper>
      <Drawer
        opened={chosen !== undefined}
        onClose={() => setChosen(undefined)}
        position="right"
        size="lg"
        title="Event"
        closeButtonProps={{ 'aria-label': 'Close' }}
      >
        {chosen && <Detail event={chosen} />}
      </Drawer>
    </Stack>
  );
}

function Detail({ event }: { event: Seen }) {
  // A large payload does not come unasked.
  const whole = useLive(
    (signal) => (event.large ? api.event(event.project, event.id, signal) : Promise.resolve(event)),
    0,
    `${event.project}/${event.id}`,
  );
  return (
    <Stack>
      <Text className="mono">{event.id}</Text>
      <Group gap="xs">
        <Badge variant="light" tt="none">
          {event.project}
        </Badge>
        {event.timestamp && (
          <Text size="sm" c="dimmed">
            {event.timestamp}
          </Text>
        )}
        {event.rolesChanged && (
          <Badge color="orange" variant="light" tt="none">
            changes roles of {event.rolesChanged}
          </Badge>
        )}
      </Group>
      <Group>
        <Button component="a" size="sm" variant="light" href={link('explain', '', { project: event.project, event: event.id })}>
          Explain who gets it
        </Button>
      </Group>
      <Section title="Roles">
        <Names of={event.roles} none="nobody" />
      </Section>
      <Section title="Channels">
        <Names of={event.channels} />
      </Section>
      {event.names.length > 0 && (
        <Section title="Names">
          <Names of={event.names} />
        </Section>
      )}
      <Section title={`Payload, ${bytes(event.bytes)}`}>
        <Trouble text={whole.problem} />
        {whole.value && <Json value={whole.value.payload} />}
      </Section>
    </Stack>
  );
}
