import Box from '@mui/material/Box';
import Button from '@mui/material/Button';
import Typography from '@mui/material/Typography';
import { useState } from 'react';
import { FigureName } from './FigureName';
import { revisionId, revisionNote, revisionTitle, type Report, type Revision } from './report';
import { ScrollTable } from './ScrollTable';
import { Hidden } from './text';
import { ValueText } from './Value';
import { groupRows, type Row } from './values';

interface Props {
  title: string;
  rows: Row[];
  revisions: Revision[];
  /** Of metrics: which of them are better higher, or lower. */
  better?: Report['better'];
  /** All groups are open; otherwise the reader opens them one by one. */
  open: boolean;
  firstOpen: boolean;
}

/** One row for a value, one column for a revision; groups open and close. */
export function ValuesTable({ title, rows, revisions, better, open, firstOpen }: Props) {
  const groups = groupRows(rows);
  const [opened, setOpened] = useState<ReadonlySet<string>>(
    () => new Set(firstOpen ? groups.slice(0, 1).map(([group]) => group) : []),
  );
  const all = groups.every(([group]) => opened.has(group));
  const toggle = (group: string) =>
    setOpened(new Set(opened.has(group) ? [...opened].filter((name) => name !== group) : [...opened, group]));
  return (
    <Box component="section" sx={{ mt: 2 }}>
      <Box sx={{ display: 'flex', alignItems: 'center', minHeight: 40 }}>
        <Typography variant="h2" sx={{ flex: 1 }}>
          {title}
        </Typography>
        {!open && groups.length > 0 && (
          <Button size="small" onClick={() => setOpened(new Set(all ? [] : groups.map(([group]) => group)))}>
            {all ? 'Close all' : 'Open all'}
            <Hidden> groups of {title.toLowerCase()}</Hidden>
          </Button>
        )}
      </Box>
      {groups.length === 0 ? (
        <Typography color="text.secondary">No match.</Typography>
      ) : (
        <ScrollTable label={`${title}, by revision`}>
          <table>
            <thead>
              <tr>
                <Box component="th" scope="col" sx={{ minWidth: { xs: 140, sm: 260 } }}>
                  Name
                </Box>
                {revisions.map((revision) => (
                  <th key={revisionId(revision)} scope="col">
                    <RevisionHead revision={revision} />
                  </th>
                ))}
              </tr>
            </thead>
            {groups.map(([group, members]) => {
              const shown = open || opened.has(group);
              return (
                <tbody key={group}>
                  <tr>
                    <Box component="th" scope="rowgroup" sx={{ p: '0 !important' }}>
                      {open ? (
                        <Box sx={{ px: 1.25, py: 0.75, fontWeight: 600 }}>{group}</Box>
                      ) : (
                        <GroupButton group={group} shown={shown} onClick={() => toggle(group)} />
                      )}
                    </Box>
                    <Box component="td" colSpan={revisions.length} sx={{ color: 'text.secondary', fontSize: '0.8rem' }}>
                      {members.length} {members.length === 1 ? 'value' : 'values'}
                    </Box>
                  </tr>
                  {shown &&
                    members.map((row) => (
                      <tr key={row.key} data-group={group} data-key={row.key}>
                        <Box
                          component="th"
                          scope="row"
                          sx={{ pl: { xs: 1.25, sm: '1.8em !important' }, overflowWrap: 'anywhere' }}
                        >
                          <FigureName group={group} name={row.key} better={better?.[group]?.[row.key]} />
                        </Box>
                        {row.values.map((value, index) => (
                          <td key={revisionId(revisions[index]!)}>
                            <ValueText value={value} />
                          </td>
                        ))}
                      </tr>
                    ))}
                </tbody>
              );
            })}
          </table>
        </ScrollTable>
      )}
    </Box>
  );
}

function RevisionHead({ revision }: { revision: Revision }) {
  return (
    <Box sx={{ width: { xs: 92, sm: 'auto' }, minWidth: { sm: 110 }, maxWidth: 190, ml: 'auto' }}>
      <Box sx={{ overflowWrap: 'anywhere' }}>{revisionTitle(revision)}</Box>
      <Box
        title={revisionNote(revision)}
        sx={{
          fontSize: '0.75rem',
          fontWeight: 400,
          color: 'text.secondary',
          overflow: 'hidden',
          textOverflow: 'ellipsis',
          whiteSpace: 'nowrap',
        }}
      >
        {revisionNote(revision)}
      </Box>
    </Box>
  );
}

function GroupButton({ group, shown, onClick }: { group: string; shown: boolean; onClick: () => void }) {
  return (
    <Button
      size="small"
      color="inherit"
      aria-expanded={shown}
      onClick={onClick}
      sx={{ justifyContent: 'start', textAlign: 'left', width: 1, px: 1.25, py: 0.75 }}
    >
      <Box
        component="span"
        aria-hidden
        sx={{ width: '1.2em', flex: 'none', transform: shown ? 'rotate(90deg)' : 'none', transformOrigin: '35% 50%' }}
      >
        ›
      </Box>
      {group}
    </Button>
  );
}
