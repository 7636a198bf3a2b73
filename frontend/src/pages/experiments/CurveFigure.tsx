import Box from '@mui/material/Box';
import Typography from '@mui/material/Typography';
import { rainbowSurgePalette } from '@mui/x-charts/colorPalettes';
import { LineChart, lineClasses } from '@mui/x-charts/LineChart';
import { useState } from 'react';
import { formatNumber } from './numbers';
import { revisionId, revisionTitle, type Curve, type Revision } from './report';
import { ScrollTable } from './ScrollTable';
import { align, smooth, thin } from './series';
import { NotAvailable, ValueText } from './Value';

/** More points than this cannot be told apart on a screen, and slow it down. */
const POINTS_DRAWN = 500;
const TWO_COLOURS = ['var(--mui-palette-primary-main)', 'var(--mui-palette-secondary-main)'];

interface Props {
  run: string;
  name: string;
  revisions: Revision[];
  smoothing: number;
  logarithmic: boolean;
}

/** One curve of several revisions: drawn, in figures, and point by point. */
export function CurveFigure({ run, name, revisions, smoothing, logarithmic }: Props) {
  const found = revisions.flatMap((revision) => {
    const curve = revision.curves[run]?.[name];
    return curve && curve.step.length > 0 ? [{ revision, curve }] : [];
  });
  const drawn = found.map(({ curve }) => thin({ step: curve.step, value: smooth(curve.value, smoothing) }, POINTS_DRAWN));
  const { steps, values } = align(drawn);
  const positive = (value: number | null) => (logarithmic && value !== null && value <= 0 ? null : value);
  return (
    <Box
      component="figure"
      data-curve={`${run}/${name}`}
      sx={{
        m: 0,
        p: { xs: 1, sm: 2 },
        border: 1,
        borderColor: 'divider',
        borderRadius: 1,
        bgcolor: 'background.paper',
        minWidth: 0,
      }}
    >
      <Typography component="figcaption" variant="h3">
        {run}: {name}
      </Typography>
      <LineChart
        height={260}
        skipAnimation
        hideLegend={found.length < 2}
        grid={{ horizontal: true }}
        margin={{ left: 0, right: 12, top: 12, bottom: 0 }}
        colors={found.length > 2 ? rainbowSurgePalette : TWO_COLOURS}
        xAxis={[
          {
            data: steps,
            scaleType: 'linear',
            min: Math.min(0, ...steps.slice(0, 1)),
            label: 'step',
            height: 44,
            valueFormatter: formatNumber,
          },
        ]}
        yAxis={[{ scaleType: logarithmic ? 'log' : 'linear', width: 64, valueFormatter: (value: number) => formatNumber(value) }]}
        series={found.map(({ revision }, index) => ({
          id: revisionId(revision),
          label: revisionTitle(revision),
          data: values[index]!.map(positive),
          connectNulls: true,
          curve: 'linear',
          showMark: drawn[index]!.step.length < 10,
          shape: 'circle',
          valueFormatter: (value) => (value === null ? null : formatNumber(value)),
        }))}
        sx={{
          [`& .${lineClasses.line}`]: { strokeWidth: 2 },
          // dashed, so that two lines on top of each other both show
          [`& .${lineClasses.line}[data-series="${found.length > 1 && revisionId(found[1]!.revision)}"]`]: {
            strokeDasharray: '6 5',
          },
        }}
      />
      <Box sx={{ mt: 1 }}>
        <Figures revisions={revisions} run={run} name={name} />
      </Box>
      <Points found={found} label={`${run}: ${name}`} />
    </Box>
  );
}

/** The last, the lowest and the highest value of each revision, as logged. */
function Figures({ revisions, run, name }: { revisions: Revision[]; run: string; name: string }) {
  return (
    <ScrollTable label={`Last and extreme values of ${run}: ${name}`} maxHeight="none">
      <table>
        <thead>
          <tr>
            <th scope="col">Revision</th>
            <th scope="col">Last</th>
            <th scope="col">Lowest</th>
            <th scope="col">Highest</th>
          </tr>
        </thead>
        <tbody>
          {revisions.map((revision) => {
            const curve = revision.curves[run]?.[name];
            const order = curve ? curve.value.map((_, index) => index).sort((a, b) => curve.value[a]! - curve.value[b]!) : [];
            return (
              <tr key={revisionId(revision)} data-revision={revisionId(revision)}>
                <th scope="row">{revisionTitle(revision)}</th>
                {[order.length ? order.length - 1 : undefined, order[0], order.at(-1)].map((index, column) => (
                  <td key={column}>{curve && index !== undefined ? <At curve={curve} index={index} /> : <NotAvailable />}</td>
                ))}
              </tr>
            );
          })}
        </tbody>
      </table>
    </ScrollTable>
  );
}

function At({ curve, index }: { curve: Curve; index: number }) {
  return (
    <>
      <ValueText value={curve.value[index]} />
      <Box component="span" sx={{ color: 'text.secondary', fontSize: '0.75rem', display: 'block', whiteSpace: 'nowrap' }}>
        at <data value={curve.step[index]}>{formatNumber(curve.step[index]!)}</data>
      </Box>
    </>
  );
}

/** All that was logged, as a table; made when it is opened. */
function Points({ found, label }: { found: { revision: Revision; curve: Curve }[]; label: string }) {
  const [open, setOpen] = useState(false);
  const { steps, values } = align(open ? found.map(({ curve }) => curve) : []);
  return (
    <Box
      component="details"
      onToggle={(event: React.ToggleEvent<HTMLDetailsElement>) => setOpen(event.currentTarget.open)}
      sx={{ mt: 1 }}
    >
      <Box component="summary" sx={{ cursor: 'pointer', fontSize: '0.875rem', py: 0.5 }}>
        All points as logged
      </Box>
      {open && (
        <ScrollTable label={`All points of ${label}`} maxHeight={260}>
          <table>
            <thead>
              <tr>
                <th scope="col">Step</th>
                {found.map(({ revision }) => (
                  <th key={revisionId(revision)} scope="col">
                    {revisionTitle(revision)}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {steps.map((step, row) => (
                <tr key={step}>
                  <th scope="row">
                    <ValueText value={step} />
                  </th>
                  {values.map((column, index) => (
                    <td key={index}>
                      <ValueText value={column[row] ?? undefined} />
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </ScrollTable>
      )}
    </Box>
  );
}
