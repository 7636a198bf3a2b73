import Box from '@mui/material/Box';
import ButtonBase from '@mui/material/ButtonBase';
import IconButton from '@mui/material/IconButton';
import { useColorScheme } from '@mui/material/styles';
import Typography from '@mui/material/Typography';
import { lazy, Suspense, type ComponentType } from 'react';
import { Link, Navigate, Route, Routes, useLocation } from 'react-router';
import { DeviceBadge } from './ui/DeviceBadge';
import { BenchmarkIcon, ClassifyIcon, DarkIcon, ExperimentsIcon, GenerateIcon, LightIcon } from './ui/icons';
import { ModelsGate, ModelsProvider } from './ui/ModelsProvider';
import { PageSkeleton } from './ui/PageSkeleton';
import { ItemsProvider } from './pages/classify/ItemsProvider';

interface Page {
  path: string;
  title: string;
  Icon: ComponentType;
  Component: ComponentType;
  needsModels: boolean;
}

/** Of the page that the address names, the code is fetched at once: what it needs comes at the same time. */
function page(path: string, load: () => Promise<{ default: ComponentType }>): ComponentType {
  if ((location.hash.slice(1).split('?', 1)[0] || '/') === path) load().catch(() => undefined); // shown by the page's own attempt
  return lazy(load);
}

const StartPage = page('/', () => import('./pages/start/StartPage'));

const PAGES: Page[] = [
  {
    path: '/classify',
    title: 'Classify',
    Icon: ClassifyIcon,
    Component: page('/classify', () => import('./pages/classify/ClassifyPage')),
    needsModels: true,
  },
  {
    path: '/generate',
    title: 'Generate',
    Icon: GenerateIcon,
    Component: page('/generate', () => import('./pages/generate/GeneratePage')),
    needsModels: true,
  },
  {
    path: '/benchmark',
    title: 'Benchmark',
    Icon: BenchmarkIcon,
    Component: page('/benchmark', () => import('./pages/benchmark/BenchmarkPage')),
    needsModels: true,
  },
  {
    path: '/experiments',
    title: 'Experiments',
    Icon: ExperimentsIcon,
    Component: page('/experiments', () => import('./pages/experiments/ExperimentsPage')),
    needsModels: false,
  },
];

export function App() {
  return (
    <ModelsProvider>
      <ItemsProvider>
        <Box sx={{ minHeight: '100dvh', display: 'flex', flexDirection: 'column', pb: { xs: 8, md: 0 } }}>
          <Box
            component="header"
            sx={{
              position: 'sticky',
              top: 0,
              zIndex: 'appBar',
              display: 'flex',
              alignItems: 'center',
              gap: 1,
              height: 60,
              px: { xs: 2, sm: 3 },
              bgcolor: 'background.paper',
              borderBottom: 1,
              borderColor: 'divider',
            }}
          >
            <ButtonBase
              component={Link}
              to="/"
              sx={{
                gap: 1,
                mr: { xs: 'auto', md: 2 },
                borderRadius: 1,
                '&:focus-visible': { outline: 2, outlineColor: 'primary.main', outlineOffset: 4 },
              }}
            >
              <Box component="img" src="./icon.svg" alt="" width={28} height={28} />
              <Typography component="span" sx={{ fontWeight: 750, fontSize: '1.1rem' }}>
                tinycats
              </Typography>
            </ButtonBase>
            <Navigation />
            <DeviceBadge />
            <ThemeButton />
          </Box>
          <Box component="main" sx={{ width: 1, maxWidth: 1200, mx: 'auto', p: { xs: 2, sm: 3 }, flex: 1 }}>
            <Suspense fallback={<PageSkeleton />}>
              <Routes>
                <Route
                  path="/"
                  element={
                    <ModelsGate>
                      <StartPage />
                    </ModelsGate>
                  }
                />
                {PAGES.map(({ path, Component, needsModels }) => (
                  <Route
                    key={path}
                    path={path}
                    element={
                      needsModels ? (
                        <ModelsGate>
                          <Component />
                        </ModelsGate>
                      ) : (
                        <Component />
                      )
                    }
                  />
                ))}
                <Route path="*" element={<Navigate to="/" replace />} />
              </Routes>
            </Suspense>
          </Box>
        </Box>
      </ItemsProvider>
    </ModelsProvider>
  );
}

/** In the bar; on a phone at the lower edge, where thumbs are. */
function Navigation() {
  const { pathname } = useLocation();
  return (
    <Box
      component="nav"
      aria-label="Pages"
      sx={{
        display: 'flex',
        gap: { md: 0.5 },
        mr: { md: 'auto' },
        position: { xs: 'fixed', md: 'static' },
        insetInline: 0,
        bottom: 0,
        zIndex: 'appBar',
        bgcolor: { xs: 'background.paper', md: 'transparent' },
        borderTop: { xs: 1, md: 0 },
        borderColor: { xs: 'divider', md: 'transparent' },
      }}
    >
      {PAGES.map(({ path, title, Icon }) => {
        const here = pathname === path;
        return (
          <ButtonBase
            key={path}
            component={Link}
            to={path}
            aria-current={here ? 'page' : undefined}
            sx={{
              flex: { xs: 1, md: 'none' },
              flexDirection: { xs: 'column', md: 'row' },
              gap: { xs: 0.25, md: 0.75 },
              px: { xs: 0, md: 1.5 },
              py: { xs: 1, md: 0.75 },
              borderRadius: { md: 2 },
              fontSize: { xs: '0.75rem', md: '0.9rem' },
              fontWeight: here ? 700 : 500,
              color: here ? 'primary.main' : 'text.secondary',
              bgcolor: { md: here ? 'action.selected' : 'transparent' },
              '&:focus-visible': { outline: 2, outlineColor: 'primary.main', outlineOffset: -2 },
              '& svg': { fontSize: { xs: 24, md: 20 } },
            }}
          >
            <Icon />
            {title}
          </ButtonBase>
        );
      })}
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
