// Where the console begins.
import '@mantine/core/styles.css';
import './style.css';

import { createTheme, MantineProvider, type CSSVariablesResolver } from '@mantine/core';
import { setNonce } from 'get-nonce';
import { createRoot } from 'react-dom/client';
import { App } from './app';

const nonce = document.querySelector<HTMLMetaElement>('meta[name=csp-nonce]')?.nonce ?? '';
setNonce(nonce);

const theme = createTheme({
  primaryColor: 'indigo',
  primaryShade: { light: 7, dark: 8 },
  fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif',
  fontFamilyMonospace: 'ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace',
  respectReducedMotion: true,
  autoContrast: true,
});

/** The library's quieter colours have too little contrast for small text (WCAG 1.4.3). */
const cssVariablesResolver: CSSVariablesResolver = () => {
  const shades = (shade: number) =>
    Object.fromEntries(
      ['teal', 'orange', 'red', 'blue', 'indigo', 'gray', 'grape'].map((colour) => [
        `--mantine-color-${colour}-light-color`,
        `var(--mantine-color-${colour}-${shade})`,
      ]),
    );
  const shared = (light: boolean) => ({
    ...shades(light ? 9 : 2),
    '--mantine-color-dimmed': light ? '#5c636a' : '#b3b3b3',
    '--mantine-color-placeholder': light ? '#6a7178' : '#909090',
    '--mantine-color-anchor': `var(--mantine-color-indigo-${light ? 7 : 3})`,
    '--mantine-color-teal-light': light ? 'var(--mantine-color-teal-0)' : 'rgba(18, 184, 134, 0.15)',
    '--mantine-color-orange-light': light ? 'var(--mantine-color-orange-0)' : 'rgba(253, 126, 20, 0.15)',
  });
  return { variables: {}, light: shared(true), dark: shared(false) };
};

createRoot(document.getElementById('root')!).render(
  <MantineProvider theme={theme} defaultColorScheme="auto" cssVariablesResolver={cssVariablesResolver} getStyleNonce={() => nonce}>
    <App />
  </MantineProvider>,
);
