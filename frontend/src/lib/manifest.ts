import { UserError } from './errors';

/** manifest.json of the pipeline's `publish` stage, schema version 1: what the page knows about its models. */
export interface ManifestFile {
  path: string;
  sha256: string;
  bytes: number;
}

export type Precision = 'fp32' | 'int8';
export type ModelName = 'classifier' | 'generator';

export interface SamplerSettings {
  method: 'euler' | 'heun';
  steps: number;
  guidance: number;
  guidance_low: number;
  guidance_high: number;
}

export interface Manifest {
  schema_version: 1;
  name: string;
  licence: string;
  revision: string | null;
  data: { title: string; licence: string; source: string; synthetic: boolean };
  hub?: { repo_id: string; revision: string; endpoint?: string } | null;
  classifier: {
    classes: string[];
    other: string | null;
    image_size: number;
    files: Record<Precision, string>;
    head: { path: string; shape: [number, number] };
    /** What the logits are divided by inside the ONNX files, so that confidence is calibrated: not to be applied again. */
    temperature?: number | null;
    /** Below this confidence the answer is "not sure". */
    reject_threshold?: number | null;
  };
  generator: {
    classes: string[];
    null_class: number;
    image_size: number;
    files: Record<Precision, string>;
  };
  sampler: SamplerSettings;
  golden: string;
  metrics: Record<string, unknown>;
  files: ManifestFile[];
}

/** Raises UserError where it is no manifest that this page can read. */
export function parseManifest(content: unknown): Manifest {
  const manifest = content as Manifest;
  if (typeof content !== 'object' || content === null || !('schema_version' in content)) {
    throw new UserError('The list of models (manifest.json) is no manifest.');
  }
  if (manifest.schema_version !== 1) {
    throw new UserError(
      `The list of models has schema version ${String(manifest.schema_version)}; this page reads version 1. Build the page again.`,
    );
  }
  for (const [name, model] of Object.entries({ classifier: manifest.classifier, generator: manifest.generator })) {
    if (!Array.isArray(model?.classes) || !Number.isInteger(model.image_size) || typeof model.files?.fp32 !== 'string') {
      throw new UserError(`The list of models says too little about the ${name}. Run the publish stage again.`);
    }
  }
  if (!Array.isArray(manifest.files)) throw new UserError('The list of models names no files. Run the publish stage again.');
  return manifest;
}

export function fileOf(manifest: Manifest, path: string): ManifestFile {
  const found = manifest.files.find((file) => file.path === path);
  if (!found) throw new UserError(`The list of models does not name ${path}. Run the publish stage again.`);
  return found;
}

export function modelFile(manifest: Manifest, model: ModelName, precision: Precision): ManifestFile {
  return fileOf(manifest, manifest[model].files[precision]);
}

/** Class names as the pipeline has them are also file names: underscores stand for spaces. */
export function displayName(name: string): string {
  return name.replaceAll('_', ' ');
}

/** `folder`: the address of a published folder, with a slash at its end. */
export async function loadManifest(folder: string): Promise<Manifest> {
  let response: Response;
  try {
    response = await fetch(new URL('manifest.json', folder), { cache: 'no-cache' });
  } catch {
    throw new UserError('The list of models (manifest.json) could not be reached. Check the connection and try again.');
  }
  const text = response.ok ? await response.text() : '';
  if (!text) {
    throw new UserError(
      `There are no models at ${folder} (manifest.json: ${response.status}). For the page's own: run the pipeline (make repro), then build the page again.`,
    );
  }
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    throw new UserError('The list of models (manifest.json) is not JSON. Run the publish stage again.');
  }
  return parseManifest(content);
}
