import type { Report, Revision } from './report';

/** What every view of the Experiments page is given. */
export interface ViewProps {
  report: Report;
  revision: Revision;
  /** The revision to compare with. */
  older?: Revision;
}
