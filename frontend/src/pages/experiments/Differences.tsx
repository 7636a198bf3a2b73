import Box from '@mui/material/Box';
import FormControlLabel from '@mui/material/FormControlLabel';
import Switch from '@mui/material/Switch';
import Typography from '@mui/material/Typography';
import { useState } from 'react';
import { FigureName } from './FigureName';
import { FilterField } from './FilterField';
import { formatPercent, formatSigned } from './numbers';
import { revisionTitle, type Better } from './report';
import { ScrollTable } from './ScrollTable';
import { Breakable } from './text';
import { NotAvailable, ValueText } from './Value';
import { difference, differs, matches, paramGroups, rowsOf, type Difference } from './values';
import type { ViewProps } from './view';

/** The differences between two revisions: absolute, relative, and whether for the better. */
export function Differences({ report, revision, older }: ViewProps) {
  const [words, setWords] = useState('');
  const [same, setSame] = useState(false);
  if (!older) return <Typography color="text.secondary">Choose a revision to compare with.</Typography>;
  const pair = [older, revision];
  const [metrics, params] = [rowsOf(pair.map(({ metrics }) => metrics)), rowsOf(pair.map(paramGroups))].map((rows) =>
    rows.filter((row) => matches(row, words.trim()) && (same || differs(row))),
  );
  const [from, to] = pair.map(revisionTitle);
  return (
    <>
      <Box sx={{ display: 'flex', flexWrap: 'wrap', columnGap: 3, rowGap: 1, alignItems: 'center' }}>
        <FilterField value={words} onChange={setWords} />
        <FormControlLabel
          control={<Switch checked={same} onChange={(_, checked) => setSame(checked)} />}
          label="Show unchanged"
        />
      </Box>
      <Section title="Metrics" empty={metrics!.length === 0}>
        <ScrollTable label="Difference of metrics">
          <table>
            <thead>
              <tr>
                <Box component="th" scope="col" sx={{ minWidth: { xs: 130, sm: 240 } }}>
                  Metric
                </Box>
                <th scope="col">{from}</th>
                <th scope="col">{to}</th>
                <th scope="col">Difference</th>
                <th scope="col">Relative</th>
                <th scope="col">Verdict</th>
              </tr>
            </thead>
            <tbody>
              {metrics!.map(({ group, key, values: [before, after] }) => (
                <tr key={`${group} ${key}`} data-group={group} data-key={key}>
                  <Name group={group} name={key} better={report.better[group]?.[key]} />
                  <td>
                    <ValueText value={before} />
                  </td>
                  <td>
                    <ValueText value={after} />
                  </td>
                  <DifferenceCells found={difference(after, before, report.better[group]?.[key])} />
                </tr>
              ))}
            </tbody>
          </table>
        </ScrollTable>
      </Section>
      <Section title="Parameters" empty={params!.length === 0}>
        <ScrollTable label="Difference of parameters">
          <table>
            <thead>
              <tr>
                <Box component="th" scope="col" sx={{ minWidth: { xs: 130, sm: 240 } }}>
                  Parameter
                </Box>
                <th scope="col">{from}</th>
                <th scope="col">{to}</th>
              </tr>
            </thead>
            <tbody>
              {params!.map(({ group, key, values }) => (
                <tr key={`${group} ${key}`} data-group={group} data-key={key}>
                  <Name group={group} name={key} />
                  {values.map((value, index) => (
                    <td key={index}>
                      <ValueText value={value} />
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </ScrollTable>
      </Section>
    </>
  );
}

function Section({ title, empty, children }: { title: string; empty: boolean; children: React.ReactNode }) {
  return (
    <Box component="section" sx={{ mt: 2 }}>
      <Typography variant="h2" sx={{ mb: 1 }}>
        {title}
      </Typography>
      {empty ? <Typography color="text.secondary">No difference.</Typography> : children}
    </Box>
  );
}

function Name({ group, name, better }: { group: string; name: string; better?: Better }) {
  return (
    <Box component="th" scope="row" sx={{ overflowWrap: 'anywhere' }}>
      <Box component="span" sx={{ color: 'text.secondary' }}>
        <Breakable text={group} />:
      </Box>{' '}
      <FigureName group={group} name={name} better={better} />
    </Box>
  );
}

const LOOKS = {
  better: { sign: '▲', colour: 'success.main' },
  worse: { sign: '▼', colour: 'error.main' },
  same: { sign: '=', colour: 'text.secondary' },
};

function DifferenceCells({ found }: { found?: Difference }) {
  if (!found) {
    return (
      <>
        <td>
          <NotAvailable />
        </td>
        <td>
          <NotAvailable />
        </td>
        <td />
      </>
    );
  }
  const { absolute, relative, verdict } = found;
  const numbers = { component: 'data', sx: { fontVariantNumeric: 'tabular-nums', whiteSpace: 'nowrap' } } as const;
  return (
    <>
      <td>
        <Box {...numbers} value={String(absolute)} title={String(absolute)}>
          {formatSigned(absolute)}
        </Box>
      </td>
      <td>
        {relative === undefined ? (
          <NotAvailable />
        ) : (
          <Box {...numbers} value={String(relative)} title={String(relative)}>
            {formatPercent(relative)}
          </Box>
        )}
      </td>
      <td>
        {verdict && (
          <Box component="span" sx={{ color: LOOKS[verdict].colour, whiteSpace: 'nowrap' }}>
            <span aria-hidden>{LOOKS[verdict].sign} </span>
            {verdict}
          </Box>
        )}
      </td>
    </>
  );
}
