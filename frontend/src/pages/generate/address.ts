import { useCallback } from 'react';
import { useModels, VERSION_PARAM } from '../../ui/models';
import { settingsParams, START_PARAM, type Settings } from './settings';

/** Makes the address of settings, which has the version of the models in it unless that is the usual one. */
export function useAddress(): (settings: Settings) => URLSearchParams {
  const { manifest, version, versions } = useModels();
  return useCallback(
    (settings) => {
      const said = settingsParams(settings, manifest);
      if (version !== versions[0]) said.set(VERSION_PARAM, version.name);
      return said;
    },
    [manifest, version, versions],
  );
}

/** The whole link to an address; with `start` it makes the pictures at once. */
export function linkTo(address: URLSearchParams, start = false): string {
  const said = new URLSearchParams(address);
  if (start) said.set(START_PARAM, '1');
  const url = new URL(location.href);
  url.hash = `/generate?${said.toString()}`;
  return url.href;
}
