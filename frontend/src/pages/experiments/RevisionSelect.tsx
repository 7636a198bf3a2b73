import TextField from '@mui/material/TextField';
import { useId } from 'react';
import { revisionId, revisionNote, revisionTitle, type Revision } from './report';

interface Props {
  label: string;
  revisions: Revision[];
  value?: Revision;
  orNothing?: boolean;
  onChange: (id: string) => void;
}

/** Chooses one; the callback gets its id, or 'none'. */
export function RevisionSelect({ label, revisions, value, orNothing, onChange }: Props) {
  const id = useId();
  return (
    <TextField
      select
      size="small"
      fullWidth
      id={id}
      label={label}
      value={value ? revisionId(value) : 'none'}
      onChange={(event) => onChange(event.target.value)}
      slotProps={{ select: { native: true }, inputLabel: { shrink: true } }}
    >
      {revisions.map((revision) => (
        <option key={revisionId(revision)} value={revisionId(revision)}>
          {revisionTitle(revision)} · {revisionNote(revision)}
        </option>
      ))}
      {orNothing && <option value="none">nothing</option>}
    </TextField>
  );
}
