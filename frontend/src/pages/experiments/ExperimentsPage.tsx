import Alert from '@mui/material/Alert';
import Box from '@mui/material/Box';
import Button from '@mui/material/Button';
import Tab from '@mui/material/Tab';
import Tabs from '@mui/material/Tabs';
import Typography from '@mui/material/Typography';
import { lazy, startTransition, Suspense, useEffect, useState, type ComponentType } from 'react';
import { useSearchParams } from 'react-router';
import { PageSkeleton } from '../../ui/PageSkeleton';
import { Confusion } from './Confusion';
import { Differences } from './Differences';
import { Pictures } from './Pictures';
import { loadReport, predecessor, revisionId, type Report } from './report';
import { RevisionSelect } from './RevisionSelect';
import { Values } from './Values';
import type { ViewProps } from './view';

const VIEWS: { id: string; title: string; View: ComponentType<ViewProps> }[] = [
  { id: 'table', title: 'Table', View: Values },
  { id: 'difference', title: 'Difference', View: Differences },
  { id: 'curves', title: 'Curves', View: lazy(() => import('./Curves')) },
  { id: 'confusion', title: 'Confusion', View: Confusion },
  { id: 'pictures', title: 'Pictures', View: Pictures },
];

export default function ExperimentsPage() {
  const [report, setReport] = useState<Report>();
  const [problem, setProblem] = useState<string>();
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    const controller = new AbortController();
    loadReport(controller.signal).then(
      (loaded) => startTransition(() => setReport(loaded)), // its tables are large: in slices
      (error: unknown) => {
        if (!controller.signal.aborted) setProblem(error instanceof Error ? error.message : String(error));
      },
    );
    return () => controller.abort();
  }, [attempt]);

  const retry = () => {
    setProblem(undefined);
    setAttempt(attempt + 1);
  };
  if (problem) {
    return (
      <>
        <Heading />
        <Alert
          severity="warning"
          sx={{ mt: 2 }}
          action={
            <Button color="inherit" onClick={retry}>
              Try again
            </Button>
          }
        >
          {problem}
        </Alert>
      </>
    );
  }
  return (
    <>
      <Heading />
      {report ? <Experiments report={report} /> : <PageSkeleton />}
    </>
  );
}

function Experiments({ report }: { report: Report }) {
  const [search, setSearch] = useSearchParams();
  const { revisions } = report;
  const find = (id: string | null) => revisions.find((revision) => revisionId(revision) === id);
  const revision = find(search.get('revision')) ?? revisions[0]!;
  const older = search.get('with') === 'none' ? undefined : (find(search.get('with')) ?? predecessor(revisions, revision));
  const view = VIEWS.find(({ id }) => id === search.get('view')) ?? VIEWS[0]!;
  const set = (name: string, value: string) =>
    setSearch((old) => new URLSearchParams([...[...old].filter(([key]) => key !== name), [name, value]]), { replace: true });
  return (
    <>
      <Box sx={{ display: 'grid', gridTemplateColumns: { xs: '1fr', sm: '1fr 1fr' }, gap: 2, mt: 2 }}>
        <RevisionSelect label="Revision" revisions={revisions} value={revision} onChange={(id) => set('revision', id)} />
        <RevisionSelect label="Compared with" revisions={revisions} value={older} orNothing onChange={(id) => set('with', id)} />
      </Box>
      <Tabs
        value={view.id}
        onChange={(_, id: string) => set('view', id)}
        variant="scrollable"
        scrollButtons={false}
        aria-label="Views"
        sx={{
          mt: 1,
          borderBottom: 1,
          borderColor: 'divider',
          '& .MuiTab-root': { minWidth: 0, px: { xs: 0.5, sm: 2 }, fontSize: { xs: '0.8rem', sm: '0.875rem' } },
        }}
      >
        {VIEWS.map(({ id, title }) => (
          <Tab key={id} value={id} label={title} id={`view-${id}`} aria-controls={id === view.id ? 'view' : undefined} />
        ))}
      </Tabs>
      <Box role="tabpanel" id="view" aria-labelledby={`view-${view.id}`} sx={{ pt: 2, minHeight: '60vh' }}>
        <Suspense fallback={<PageSkeleton />}>
          <view.View report={report} revision={revision} older={older} />
        </Suspense>
      </Box>
    </>
  );
}

/** The same while loading, so that nothing moves. */
function Heading() {
  return (
    <>
      <Typography variant="h1">Experiments</Typography>
      <Typography color="text.secondary">What the pipeline measured, now and at earlier revisions.</Typography>
    </>
  );
}
