import Alert from '@mui/material/Alert';
import Box from '@mui/material/Box';
import Button from '@mui/material/Button';
import Paper from '@mui/material/Paper';
import Table from '@mui/material/Table';
import TableBody from '@mui/material/TableBody';
import TableCell from '@mui/material/TableCell';
import TableContainer from '@mui/material/TableContainer';
import TableHead from '@mui/material/TableHead';
import TableRow from '@mui/material/TableRow';
import { useState } from 'react';
import { toCsv } from '../../lib/csv';
import { milliseconds, percent, save } from '../../lib/format';
import { useModels } from '../../ui/models';
import { AnswerCard } from './AnswerCard';
import { AnswerCanvas } from './AnswerCanvas';
import type { Item } from './items';
import { answerText, verdictOf } from './verdict';

const NOT_AVAILABLE = 'not available';
const WIDE = { display: { xs: 'none', sm: 'table-cell' } }; // on a phone, only the full answer has it

/** One answer in full; several in a table, with the chosen one in full. */
export default function Answers({ items, onRetry }: { items: Item[]; onRetry: (item: Item) => void }) {
  const { manifest } = useModels();
  const [chosen, setChosen] = useState<number | null>(null);
  const { classes, reject_threshold: threshold, distance_limit: limit } = manifest.classifier;
  const answered = items.filter((item) => item.answer);
  const shown = answered.find((item) => item.id === chosen) ?? answered[0];

  const exportCsv = () => {
    const head = ['file', 'answer', 'class', 'confidence', 'sure', 'distance', 'unlike', 'milliseconds', ...classes];
    const rows = answered.map(({ name, answer }) => {
      const { ranking, confidences, distance, answerMs } = answer!;
      const verdict = verdictOf(answer!, manifest.classifier);
      const best = ranking[0]!;
      const sure = threshold == null ? NOT_AVAILABLE : verdict === 'class' ? 'yes' : 'no';
      const unlike = distance === null || limit == null ? NOT_AVAILABLE : verdict === 'unlike' ? 'yes' : 'no';
      const shown = [
        answerText(answer!, manifest.classifier),
        classes[best.label]!,
        best.confidence,
        sure,
        distance ?? NOT_AVAILABLE,
        unlike,
      ];
      return [name, ...shown, answerMs, ...confidences];
    });
    save(new Blob([toCsv([head, ...rows])], { type: 'text/csv' }), 'tinycats.csv');
  };

  return (
    <>
      {items
        .filter((item) => item.error)
        .map((item) => (
          <Alert
            key={item.id}
            severity="error"
            sx={{ mb: 1 }}
            action={
              <Button color="inherit" size="small" onClick={() => onRetry(item)}>
                Try again
              </Button>
            }
          >
            {item.name}: {item.error}
          </Alert>
        ))}
      {shown?.answer && <AnswerCard key={shown.id} name={shown.name} answer={shown.answer} />}
      {answered.length > 1 && (
        <Paper variant="outlined" sx={{ mt: 2 }}>
          <TableContainer tabIndex={0}>
            <Table
              size="small"
              aria-label="All pictures"
              sx={{ '& td, & th': { px: { xs: 0.75, sm: 2 } }, '& td:nth-of-type(n + 3)': { whiteSpace: 'nowrap' } }}
            >
              <TableHead>
                <TableRow>
                  <TableCell>Picture</TableCell>
                  <TableCell>Class</TableCell>
                  <TableCell align="right">Confidence</TableCell>
                  <TableCell align="right" sx={WIDE}>
                    Time
                  </TableCell>
                </TableRow>
              </TableHead>
              <TableBody>
                {answered.map((item) => {
                  const best = item.answer!.ranking[0]!;
                  return (
                    <TableRow key={item.id} selected={item.id === shown?.id}>
                      <TableCell>
                        <Box sx={{ display: 'flex', alignItems: 'center', gap: 1 }}>
                          <AnswerCanvas picture={item.answer!.thumbnail} side={32} />
                          <Button
                            size="small"
                            onClick={() => setChosen(item.id)}
                            sx={{ justifyContent: 'start', textAlign: 'left', overflowWrap: 'anywhere', minWidth: 96, px: 0.5 }}
                          >
                            {item.name}
                          </Button>
                        </Box>
                      </TableCell>
                      <TableCell>{answerText(item.answer!, manifest.classifier)}</TableCell>
                      <TableCell align="right">{percent(best.confidence)}</TableCell>
                      <TableCell align="right" sx={WIDE}>
                        {milliseconds(item.answer!.answerMs)}
                      </TableCell>
                    </TableRow>
                  );
                })}
              </TableBody>
            </Table>
          </TableContainer>
        </Paper>
      )}
      {answered.length > 0 && (
        <Button onClick={exportCsv} variant="outlined" sx={{ mt: 2, mr: 1 }}>
          Export CSV
        </Button>
      )}
    </>
  );
}
