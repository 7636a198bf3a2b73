import Box from '@mui/material/Box';
import Typography from '@mui/material/Typography';
import { formatNumber } from './numbers';
import { revisionId, revisionTitle, type Revision } from './report';
import { ScrollTable } from './ScrollTable';
import { NotAvailable, ValueText } from './Value';
import type { ViewProps } from './view';

/** The confusion matrices and small tables of a revision and the one it is compared with. */
export function Confusion({ revision, older }: ViewProps) {
  const pair = older ? [revision, older] : [revision];
  const matrices = [...new Set(pair.flatMap(({ confusion }) => Object.keys(confusion)))].sort();
  const tables = [...new Set(pair.flatMap((one) => Object.keys(one.tables)))].sort();
  if (matrices.length + tables.length === 0) return <NotAvailable />;
  const columns = {
    display: 'grid',
    gridTemplateColumns: { xs: 'minmax(0, 1fr)', md: `repeat(${pair.length}, minmax(0, 1fr))` },
    gap: 2,
  };
  return (
    <>
      {matrices.map((name) => (
        <Box component="section" key={name}>
          <Typography variant="h2">{name}: confusion matrix</Typography>
          <Typography color="text.secondary" variant="body2" sx={{ mb: 1 }}>
            Test pictures: one row for each actual class, one column for each predicted class.
          </Typography>
          <Box sx={columns}>
            {pair.map((one) => (
              <OfRevision key={revisionId(one)} revision={one}>
                {one.confusion[name] ? (
                  <Matrix label={`Confusion matrix of ${name}, ${revisionTitle(one)}`} {...one.confusion[name]} />
                ) : (
                  <NotAvailable />
                )}
              </OfRevision>
            ))}
          </Box>
        </Box>
      ))}
      {tables.map((name) => (
        <Box component="section" key={name} sx={{ mt: 3 }}>
          <Typography variant="h2" sx={{ mb: 1 }}>
            {TITLES[name] ?? name}
          </Typography>
          <Box sx={columns}>
            {pair.map((one) => (
              <OfRevision key={revisionId(one)} revision={one}>
                {one.tables[name] ? (
                  <PlainTable label={`${TITLES[name] ?? name}, ${revisionTitle(one)}`} {...one.tables[name]} />
                ) : (
                  <NotAvailable />
                )}
              </OfRevision>
            ))}
          </Box>
        </Box>
      ))}
    </>
  );
}

const TITLES: Record<string, string> = {
  findings: 'What may be wrong with the data',
  'data/findings': 'What may be wrong with the data', // as earlier commits have it
  'evaluate/per_class': 'Accuracy by class',
  'evaluate/reliability': 'Accuracy by confidence',
  'evaluate/copying': 'Distance to the nearest training picture, for generated and for test pictures',
  'evaluate/nearest': 'Nearest training picture of each generated picture',
};

function OfRevision({ revision, children }: { revision: Revision; children: React.ReactNode }) {
  return (
    <Box data-revision={revisionId(revision)}>
      <Typography variant="h3" sx={{ mb: 0.5, overflowWrap: 'anywhere' }}>
        {revisionTitle(revision)}
      </Typography>
      {children}
    </Box>
  );
}

/** The larger a cell's share of its row, the darker it is; up to this much colour, the text keeps its contrast. */
const STRONGEST_PERCENT = 45;

export function Matrix({ label, classes, counts }: { label: string; classes: string[]; counts: number[][] }) {
  return (
    <ScrollTable label={label} maxHeight="none">
      <Box
        component="table"
        aria-label={label}
        sx={{
          '&& td': {
            p: 0,
            height: 28,
            minWidth: 28,
            textAlign: 'center',
            fontVariantNumeric: 'tabular-nums',
            fontSize: '0.8rem',
            border: 0,
          },
          '&& th': { border: 0, py: 0.25, fontWeight: 400, fontSize: '0.8rem', whiteSpace: 'nowrap' },
          '&& thead th:not(:first-of-type)': { p: 0, height: 130, textAlign: 'left' },
        }}
      >
        <thead>
          <tr>
            <Box component="th" scope="col" sx={{ color: 'text.secondary' }}>
              actual ↓ predicted →
            </Box>
            {classes.map((name) => (
              <th key={name} scope="col">
                <Box sx={{ writingMode: 'vertical-rl', transform: 'rotate(180deg)', mx: 'auto', py: 0.5 }}>{spaced(name)}</Box>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {counts.map((row, actual) => {
            const total = row.reduce((sum, count) => sum + count, 0);
            return (
              <tr key={classes[actual]}>
                <th scope="row">{spaced(classes[actual]!)}</th>
                {row.map((count, guess) => {
                  const share = total ? count / total : 0;
                  return (
                    <Box
                      component="td"
                      key={classes[guess]}
                      title={`${formatNumber(count)} of ${formatNumber(total)} ${spaced(classes[actual]!)} predicted as ${spaced(classes[guess]!)}`}
                      style={{
                        backgroundColor: `color-mix(in srgb, var(--cell) ${(share * STRONGEST_PERCENT).toFixed(1)}%, transparent)`,
                      }}
                      sx={{
                        '--cell': `var(--mui-palette-${actual === guess ? 'secondary' : 'error'}-main)`,
                        color: count ? 'text.primary' : 'text.secondary',
                        fontWeight: count ? 650 : 400,
                      }}
                    >
                      <data value={count}>{formatNumber(count)}</data>
                    </Box>
                  );
                })}
              </tr>
            );
          })}
        </tbody>
      </Box>
    </ScrollTable>
  );
}

function PlainTable({ label, columns, rows }: { label: string } & Revision['tables'][string]) {
  return (
    <ScrollTable label={label} maxHeight={480}>
      <table aria-label={label}>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column} scope="col">
                {column}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(([first, ...rest], index) => (
            <tr key={index}>
              <th scope="row">
                <ValueText value={first ?? undefined} />
              </th>
              {rest.map((value, column) => (
                <td key={column}>
                  <ValueText value={value ?? undefined} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </ScrollTable>
  );
}

function spaced(name: string): string {
  return name.replaceAll('_', ' ');
}
