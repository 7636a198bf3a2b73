import { UserError } from './errors';
import type { Fit } from './preprocess';

/** manifest.json of the pipeline's `publish` stage, schema version 3: what the page knows about its models. */
export interface ManifestFile {
  path: string;
  sha256: string;
  bytes: number;
}

export type Precision = 'fp32' | 'int8';
/** By precision; a version that came with the repository has int8 alone. */
export type ModelFiles = Partial<Record<Precision, string>>;
/** `student` needs few steps, `generator` is its teacher; not every version has them. */
export type GeneratorName = 'generator' | 'student';
export type ModelName = 'classifier' | GeneratorName;

export interface SamplerSettings {
  method: 'euler' | 'heun';
  steps: number;
  guidance: number;
  guidance_low: number;
  guidance_high: number;
}

export interface GeneratorInfo {
  /** The classifier may know more. */
  classes: string[];
  /** What the pictures show; absent in early versions: whole photos. */
  view?: 'photo' | 'face';
  null_class: number;
  image_size: number;
  files: ModelFiles;
  /** Whether the model is told how long a step is, and has guidance built in. */
  few_step: boolean;
  /** How to sample it. */
  sampler: SamplerSettings;
  /** File with a recorded run. */
  golden: string;
}

export interface Manifest {
  schema_version: 3;
  name: string;
  /** Such as 1.2.0; null or absent where none was given. */
  version?: string | null;
  licence: string;
  revision: string | null;
  data: { title: string; licence: string; source: string; synthetic: boolean };
  hub?: { repo_id: string; revision: string } | null;
  classifier: {
    classes: string[];
    other: string | null;
    image_size: number;
    /** Side of the middle square that early versions looked at; absent: the whole picture. */
    crop_size?: number;
    /** Absent in early versions, which cropped. */
    input_convention?: { fit?: Fit };
    files: ModelFiles;
    head: { path: string; shape: [number, number] };
    /** Calibrates the confidence inside the ONNX files: do not apply it again. */
    temperature?: number | null;
    /** Below this confidence the answer is "not sure". */
    reject_threshold?: number | null;
    /** A picture whose distance to the training pictures is above it is unlike them. */
    distance_limit?: number | null;
  };
  generator?: GeneratorInfo;
  student?: GeneratorInfo;
  metrics: Record<string, unknown>;
  files: ManifestFile[];
}

/** The usual one first. */
const PRECISIONS: readonly Precision[] = ['int8', 'fp32'];

/** Raises UserError if this page cannot read it. */
export function parseManifest(content: unknown): Manifest {
  if (typeof content !== 'object' || content === null || !('schema_version' in content)) {
    throw new UserError('The list of models (manifest.json) is not a manifest.');
  }
  const isEarlier = content.schema_version === 1 || content.schema_version === 2;
  const manifest = isEarlier ? upgraded(content as EarlierManifest) : (content as Manifest);
  if (manifest.schema_version !== 3) {
    throw new UserError(
      `The list of models has schema version ${String(content.schema_version)}; this page reads versions 1 to 3. Build the page again.`,
    );
  }
  const { classifier, generator, student } = manifest;
  const generators = Object.entries({ ...(generator && { generator }), ...(student && { student }) });
  for (const [name, model] of [['classifier', classifier] as const, ...generators]) {
    if (
      !Array.isArray(model?.classes) ||
      !Number.isInteger(model.image_size) ||
      !PRECISIONS.some((of) => typeof model.files?.[of] === 'string')
    ) {
      throw new UserError(`The list of models is incomplete: ${name}. Run the publish stage again.`);
    }
  }
  for (const [name, { sampler, few_step }] of generators) {
    if (!Number.isInteger(sampler?.steps) || typeof few_step !== 'boolean') {
      throw new UserError(`The list of models does not say how to sample the ${name}. Run the publish stage again.`);
    }
  }
  if (!Array.isArray(manifest.files)) throw new UserError('The list of models has no files. Run the publish stage again.');
  checkAddresses(manifest);
  return manifest;
}

const MAX_BYTES = 2 ** 32;
const FOLDER = 'https://page.invalid/models/';

/** A manifest may come from anybody: it names files in its own folder and a repository, and no other place. */
function checkAddresses({ files, hub, classifier, generator, student }: Manifest): void {
  const named = [classifier, generator, student].flatMap((model) => Object.values(model?.files ?? {}));
  const others = [classifier.head?.path, generator?.golden, student?.golden].filter((path) => path !== undefined);
  for (const path of [...files.map((file) => file?.path), ...named, ...others]) {
    if (!isInFolder(path)) throw new UserError(`The list of models names a file that is not beside it: ${String(path)}`);
  }
  for (const { path, bytes } of files) {
    if (!Number.isInteger(bytes) || bytes < 0 || bytes > MAX_BYTES) {
      throw new UserError(`The list of models gives no possible size for ${path}: ${String(bytes)}`);
    }
  }
  if (hub && !(isRepository(hub.repo_id) && typeof hub.revision === 'string' && !/^\.*$/.test(hub.revision))) {
    throw new UserError(`The list of models names no repository of the Hub: ${String(hub.repo_id)} at ${String(hub.revision)}`);
  }
}

function isRepository(name: unknown): boolean {
  return typeof name === 'string' && /^[\w.-]+\/[\w.-]+$/.test(name) && name.split('/').every((part) => !/^\.+$/.test(part));
}

/** Whether it is the path of a file below the manifest's folder, whichever way it is spelt. */
function isInFolder(path: unknown): boolean {
  // Backslashes count as slashes in addresses, and control characters as nothing
  if (typeof path !== 'string' || /[\\\p{Cc}]/u.test(path)) return false;
  if (/^[a-z][a-z\d+.-]*:/i.test(path)) return false; // a scheme, also one that a page of the same takes for a path
  if (path.split('/').some((part) => ['', '.', '..'].includes(part.trim()))) return false;
  try {
    return new URL(path, FOLDER).href.startsWith(FOLDER);
  } catch {
    return false;
  }
}

type EarlierGenerator = Omit<GeneratorInfo, 'few_step' | 'sampler'> & { sampler: SamplerSettings & { few_step?: boolean } };

/** Version 1 had one generator, with its sampler and golden file at the top; version 2 called the student generator_fast. */
type EarlierManifest = Omit<Manifest, 'schema_version' | 'generator' | 'student'> &
  Partial<Pick<EarlierGenerator, 'sampler' | 'golden'>> & {
    schema_version: 1 | 2;
    generator: EarlierGenerator;
    generator_fast?: EarlierGenerator;
  };

/** An earlier version as it would be published now, for a duel with it. */
function upgraded({ sampler, golden, generator, generator_fast, ...others }: EarlierManifest): Manifest {
  return {
    ...others,
    schema_version: 3,
    generator: withFewStep({ ...(sampler && golden && { sampler, golden }), ...generator }),
    ...(generator_fast && { student: withFewStep(generator_fast) }),
  };
}

function withFewStep({ sampler, ...others }: EarlierGenerator): GeneratorInfo {
  const { few_step = false, ...settings } = sampler ?? {};
  return { ...others, few_step, sampler: settings };
}

/** The student first; empty where this version has no generator. */
export function generatorNames(manifest: Manifest): GeneratorName[] {
  return (['student', 'generator'] as const).filter((name) => manifest[name]);
}

/** Those that all its models have, the usual one first. */
export function precisionsOf(manifest: Manifest): Precision[] {
  const models = [manifest.classifier, ...generatorNames(manifest).map((name) => generatorInfo(manifest, name))];
  return PRECISIONS.filter((precision) => models.every(({ files }) => files[precision]));
}

/** Raises UserError if this version has no such generator. */
export function generatorInfo(manifest: Manifest, name: GeneratorName): GeneratorInfo {
  const info = manifest[name];
  if (!info) throw new UserError(`${versionName(manifest)} has no ${MODEL_NAMES[name]}; choose another model.`);
  return info;
}

function versionName(manifest: Manifest): string {
  return `Version ${shortVersion(manifest) ?? 'unknown'}`;
}

/** Its version, else the beginning of the git revision. */
export function shortVersion({ version, revision }: Manifest): string | undefined {
  return version ?? revision?.slice(0, 10);
}

/** For a sentence about a model. */
export function origin({ data, version }: Manifest): string {
  return `trained on ${data.title}${version ? ` (version ${version})` : ''}`;
}

export function fileOf(manifest: Manifest, path: string): ManifestFile {
  const found = manifest.files.find((file) => file.path === path);
  if (!found) throw new UserError(`The list of models lacks ${path}. Run the publish stage again.`);
  return found;
}

export function modelFile(manifest: Manifest, model: ModelName, precision: Precision): ManifestFile {
  const { files } = model === 'classifier' ? manifest.classifier : generatorInfo(manifest, model);
  const path = files[precision];
  if (!path) {
    throw new UserError(`${versionName(manifest)} has no ${MODEL_NAMES[model]} in ${precision}; choose another precision.`);
  }
  return fileOf(manifest, path);
}

/** As the page calls them. */
export const MODEL_NAMES: Record<ModelName, string> = {
  classifier: 'classifier',
  generator: 'teacher',
  student: 'student',
};

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
      `No models at ${folder} (manifest.json: ${response.status}). For this page's own models, run the pipeline (make repro), then build the page again.`,
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
