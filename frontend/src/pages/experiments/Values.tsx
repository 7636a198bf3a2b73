import Box from '@mui/material/Box';
import FormControlLabel from '@mui/material/FormControlLabel';
import Switch from '@mui/material/Switch';
import { useState } from 'react';
import { FilterField } from './FilterField';
import { differs, matches, paramGroups, rowsOf, type Row } from './values';
import { ValuesTable } from './ValuesTable';
import type { ViewProps } from './view';

/** Every metric and parameter of every revision. */
export function Values({ report }: ViewProps) {
  const { revisions } = report;
  const [words, setWords] = useState('');
  const [onlyDiffering, setOnlyDiffering] = useState(false);
  const shown = (row: Row) => matches(row, words.trim()) && (!onlyDiffering || differs(row));
  const open = words.trim() !== '' || onlyDiffering;
  return (
    <>
      <Box sx={{ display: 'flex', flexWrap: 'wrap', columnGap: 3, rowGap: 1, alignItems: 'center' }}>
        <FilterField value={words} onChange={setWords} />
        <FormControlLabel
          control={<Switch checked={onlyDiffering} onChange={(_, checked) => setOnlyDiffering(checked)} />}
          label="Only differences"
        />
      </Box>
      <ValuesTable
        title="Metrics"
        rows={rowsOf(revisions.map(({ metrics }) => metrics)).filter(shown)}
        revisions={revisions}
        better={report.better}
        open={open}
        firstOpen
      />
      <ValuesTable
        title="Parameters"
        rows={rowsOf(revisions.map(paramGroups)).filter(shown)}
        revisions={revisions}
        open={open}
        firstOpen={false}
      />
    </>
  );
}
