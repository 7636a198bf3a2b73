import js from '@eslint/js';
import reactHooks from 'eslint-plugin-react-hooks';
import globals from 'globals';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['dist', 'public'] },
  js.configs.recommended,
  tseslint.configs.strict,
  {
    files: ['src/**/*.{ts,tsx}'],
    languageOptions: { globals: { ...globals.browser, ...globals.worker } },
    plugins: { 'react-hooks': reactHooks },
    rules: { ...reactHooks.configs.recommended.rules },
  },
  {
    files: ['*.{ts,js,mjs}', 'e2e/**/*.ts', 'build/**/*.ts'],
    languageOptions: { globals: { ...globals.node, ...globals.browser } },
  },
  {
    files: ['build/sw.js'],
    languageOptions: {
      globals: { ...globals.serviceworker, __POLICY__: 'readonly', __PRECACHE__: 'readonly', __ASSETS__: 'readonly' },
    },
  },
  {
    rules: {
      // array[i] in numeric loops is known to be there; a check each time would hide the arithmetic
      '@typescript-eslint/no-non-null-assertion': 'off',
    },
  },
);
