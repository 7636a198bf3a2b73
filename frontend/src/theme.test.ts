import { expect, test } from 'vitest';
import { theme } from './theme';

test('both colour schemes are there', () => {
  expect(Object.keys(theme.colorSchemes).sort()).toEqual(['dark', 'light']);
});
