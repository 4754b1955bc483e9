// What is shown in place of a page that failed: why, and the way out. The rest of the console goes on.
import { Alert, Button, Group, Stack } from '@mantine/core';
import { Component, type ReactNode } from 'react';
import { said } from './live';

interface Props {
  children: ReactNode;
}

export class Boundary extends Component<Props, { problem: string | undefined }> {
  override state = { problem: undefined };

  static getDerivedStateFromError(error: unknown) {
    return { problem: said(error) };
  }

  override render() {
    if (this.state.problem === undefined) return this.props.children;
    return (
      <Stack>
        <Alert color="red" role="alert" title="This page cannot be shown">
          {this.state.problem}
        </Alert>
        <Group>
          <Button variant="default" onClick={() => this.setState({ problem: undefined })}>
            Try again
          </Button>
        </Group>
      </Stack>
    );
  }
}
