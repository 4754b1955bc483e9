// A line over time, drawn as SVG, with its numbers for those who do not see it.
import { Paper, Text } from '@mantine/core';
import { useState, type PointerEvent } from 'react';
import { clock, count } from './words';

export interface Line {
  label: string;
  className: string;
  points: number[];
}

const [WIDTH, HEIGHT, PAD] = [600, 150, 4];

export function Plot({ title, unit, times, lines }: { title: string; unit: string; times: number[]; lines: Line[] }) {
  const [at, setAt] = useState<number>();
  const top = nice(Math.max(...lines.flatMap((line) => line.points), 1) * 1.05);
  const last = times.length - 1;
  const x = (index: number) => (last > 0 ? (index / last) * WIDTH : WIDTH);
  const y = (value: number) => HEIGHT - PAD - (value / top) * (HEIGHT - 2 * PAD);
  const shown = at === undefined ? last : Math.min(at, last);
  const move = (event: PointerEvent<SVGSVGElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    setAt(Math.round(((event.clientX - box.left) / box.width) * last));
  };
  const told = (index: number) => lines.map((line) => `${line.label} ${count(line.points[index] ?? 0)}`).join(', ');
  return (
    <Paper withBorder radius="md" p="md">
      <div className="plot-head">
        <Text fw={600} component="h3" size="sm">
          {title}
        </Text>
        <Text size="xs" c="dimmed">
          {last >= 0 ? clock(times[shown]!) : 'no samples yet'}
        </Text>
      </div>
      <div className="plot-legend">
        {lines.map((line) => (
          <span key={line.label} className={line.className}>
            <span className="plot-swatch" aria-hidden />
            <Text span size="xs">
              {line.label} <b>{count(line.points[shown] ?? 0)}</b> {unit}
            </Text>
          </span>
        ))}
      </div>
      <div className="plot-area">
        <span className="plot-top">{count(top)}</span>
        <svg
          viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
          preserveAspectRatio="none"
          role="img"
          aria-label={`${title}: now ${last >= 0 ? told(last) : 'nothing'} ${unit}; at most ${count(Math.max(0, ...lines.flatMap((line) => line.points)))} in the last minutes`}
          onPointerMove={move}
          onPointerLeave={() => setAt(undefined)}
        >
          {[0, 0.5, 1].map((part) => (
            <line key={part} className="plot-grid" x1={0} x2={WIDTH} y1={y(top * part)} y2={y(top * part)} />
          ))}
          {lines.map((line) => (
            <g key={line.label} className={line.className}>
              {lines.length === 1 && last > 0 && (
                <path
                  className="plot-fill"
                  d={`M0,${HEIGHT - PAD} ${line.points.map((value, index) => `L${x(index)},${y(value)}`).join(' ')} L${WIDTH},${HEIGHT - PAD}Z`}
                />
              )}
              <polyline className="plot-line" points={line.points.map((value, index) => `${x(index)},${y(value)}`).join(' ')} />
            </g>
          ))}
          {at !== undefined && last > 0 && <line className="plot-cursor" x1={x(shown)} x2={x(shown)} y1={0} y2={HEIGHT} />}
        </svg>
      </div>
      <div className="plot-head">
        <Text size="xs" c="dimmed">
          {last > 0 ? clock(times[0]!) : ''}
        </Text>
        <Text size="xs" c="dimmed">
          now
        </Text>
      </div>
    </Paper>
  );
}

/** The next number above that reads well. */
function nice(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value) ?? value;
}
