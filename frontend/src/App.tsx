import AppBar from '@mui/material/AppBar';
import BottomNavigation from '@mui/material/BottomNavigation';
import BottomNavigationAction from '@mui/material/BottomNavigationAction';
import Box from '@mui/material/Box';
import Button from '@mui/material/Button';
import Container from '@mui/material/Container';
import IconButton from '@mui/material/IconButton';
import { useColorScheme, useTheme } from '@mui/material/styles';
import Toolbar from '@mui/material/Toolbar';
import Typography from '@mui/material/Typography';
import useMediaQuery from '@mui/material/useMediaQuery';
import { lazy, Suspense, type ComponentType } from 'react';
import { Link, Navigate, Route, Routes, useLocation } from 'react-router';
import { PageSkeleton } from './ui/PageSkeleton';
import { BenchmarkIcon, ClassifyIcon, DarkIcon, ExperimentsIcon, GenerateIcon, LightIcon } from './ui/icons';

interface Page {
  path: string;
  title: string;
  Icon: ComponentType;
  Component: ComponentType;
}

const PAGES: Page[] = [
  { path: '/classify', title: 'Classify', Icon: ClassifyIcon, Component: lazy(() => import('./pages/classify/ClassifyPage')) },
  { path: '/generate', title: 'Generate', Icon: GenerateIcon, Component: lazy(() => import('./pages/generate/GeneratePage')) },
  { path: '/benchmark', title: 'Benchmark', Icon: BenchmarkIcon, Component: lazy(() => import('./pages/benchmark/BenchmarkPage')) },
  {
    path: '/experiments',
    title: 'Experiments',
    Icon: ExperimentsIcon,
    Component: lazy(() => import('./pages/experiments/ExperimentsPage')),
  },
];

export function App() {
  const { pathname } = useLocation();
  const narrow = useMediaQuery(useTheme().breakpoints.down('sm'), { noSsr: true });
  return (
    <Box sx={{ minHeight: '100dvh', display: 'flex', flexDirection: 'column', pb: { xs: 8, sm: 0 } }}>
      <AppBar position="sticky" color="inherit" elevation={0} sx={{ borderBottom: 1, borderColor: 'divider' }}>
        <Toolbar sx={{ gap: 1 }}>
          <Box component="img" src="./icon.svg" alt="" width={28} height={28} />
          <Typography component="span" sx={{ fontWeight: 750, fontSize: '1.1rem', mr: 2 }}>
            tinycats
          </Typography>
          {!narrow && (
            <Box component="nav" aria-label="Pages" sx={{ display: 'flex', gap: 0.5 }}>
              {PAGES.map(({ path, title }) => (
                <Button
                  key={path}
                  component={Link}
                  to={path}
                  color={pathname === path ? 'primary' : 'inherit'}
                  aria-current={pathname === path ? 'page' : undefined}
                  sx={{ bgcolor: pathname === path ? 'action.selected' : undefined }}
                >
                  {title}
                </Button>
              ))}
            </Box>
          )}
          <Box sx={{ flex: 1 }} />
          <ThemeButton />
        </Toolbar>
      </AppBar>
      <Container component="main" maxWidth="lg" sx={{ py: { xs: 2, sm: 3 }, flex: 1 }}>
        <Suspense fallback={<PageSkeleton />}>
          <Routes>
            {PAGES.map(({ path, Component }) => (
              <Route key={path} path={path} element={<Component />} />
            ))}
            <Route path="*" element={<Navigate to="/classify" replace />} />
          </Routes>
        </Suspense>
      </Container>
      {narrow && (
        <Box component="nav" aria-label="Pages" sx={{ position: 'fixed', insetInline: 0, bottom: 0, zIndex: 'appBar', borderTop: 1, borderColor: 'divider' }}>
          <BottomNavigation value={pathname} showLabels>
            {PAGES.map(({ path, title, Icon }) => (
              <BottomNavigationAction
                key={path}
                value={path}
                label={title}
                icon={<Icon />}
                component={Link}
                to={path}
                aria-current={pathname === path ? 'page' : undefined}
                sx={{ minWidth: 0, px: 0.5 }}
              />
            ))}
          </BottomNavigation>
        </Box>
      )}
    </Box>
  );
}

function ThemeButton() {
  const { mode, systemMode, setMode } = useColorScheme();
  const dark = (mode === 'system' ? systemMode : mode) === 'dark';
  return (
    <IconButton onClick={() => setMode(dark ? 'light' : 'dark')} aria-label={dark ? 'Use light colours' : 'Use dark colours'}>
      {dark ? <LightIcon /> : <DarkIcon />}
    </IconButton>
  );
}
