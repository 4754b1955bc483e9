// Builds what is published: modules, CommonJS, a bundle for a script tag, and types; and says how large the core is.

import { execFileSync } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { build } from 'esbuild';

/** What the core may weigh, minified and compressed, in bytes. */
const MOST = 12 * 1024;

process.chdir(fileURLToPath(new URL('.', import.meta.url)));
rmSync('dist', { recursive: true, force: true });

const every = {
  bundle: true,
  target: 'es2022',
  platform: 'neutral',
  external: ['react', 'vue', 'ws'],
  logLevel: 'warning',
};
const entryPoints = ['src/index.ts', 'src/react.ts', 'src/vue.ts', 'src/session.ts'];
await build({
  ...every,
  entryPoints,
  outdir: 'dist/esm',
  format: 'esm',
  splitting: true,
  chunkNames: 'chunks/[name]-[hash]',
});
await build({ ...every, entryPoints, outdir: 'dist/cjs', format: 'cjs' });
await build({
  ...every,
  entryPoints: ['src/global.ts'],
  outfile: 'dist/appwrite.global.js',
  format: 'iife',
  minify: true,
});
execFileSync('node_modules/.bin/tsc', ['--project', 'tsconfig.build.json'], { stdio: 'inherit' });
rmSync('dist/esm/global.d.ts');
for (const file of readdirSync('dist/esm', { recursive: true }).filter((name) => name.endsWith('.d.ts'))) {
  cpSync(`dist/esm/${file}`, `dist/cjs/${file}`);
}
writeFileSync('dist/cjs/package.json', '{ "type": "commonjs" }\n');

const core = gzipSync(readFileSync('dist/appwrite.global.js'), { level: 9 }).length;
console.log(`core: ${core} bytes minified and compressed, of ${MOST} allowed`);
if (core >= MOST) {
  console.error('the core is too large');
  process.exitCode = 1;
}
