// What is built is embedded in the server's binary and committed, so names come from contents and nothing from the machine.
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

export default defineConfig({
  base: '/console/',
  plugins: [react()],
  build: { assetsInlineLimit: 0, modulePreload: { polyfill: false }, chunkSizeWarningLimit: 900, sourcemap: false },
  server: { proxy: { '/console/api': 'http://127.0.0.1:8081' } },
});
