/** The settings of a training that nobody gave. Imports no TensorFlow.js: the command line's help shows them without it. */
import type { BackendName } from './backend.js';

export const stages = ['sft', 'grpo'] as const;
/** Supervised training on targets, or reinforcement learning from rewards. */
export type Stage = (typeof stages)[number];

/** Settings of both stages. */
function shared(backend: BackendName) {
  const fast = backend === 'tensorflow';
  return {
    tasks: ['detection' as const],
    seed: 0,
    size: fast ? ('small' as const) : ('tiny' as const),
    evaluation: { every: 50, examples: fast ? 400 : 200, seed: 0, temperatures: [0, 1] },
    saveEvery: 1,
    keepEvery: 0,
  };
}

export function supervisedDefaults(backend: BackendName) {
  return {
    ...shared(backend),
    steps: 800,
    batchSize: 32,
    denseWeight: 1,
    optimizer: {
      learningRate: 1.5e-3,
      warmupSteps: 100,
      decay: 'cosine' as const,
      finalFraction: 0.1,
      maxGradNorm: 1,
      weightDecay: 0,
    },
  };
}

export function grpoDefaults(backend: BackendName) {
  const fast = backend === 'tensorflow';
  return {
    ...shared(backend),
    steps: fast ? 300 : 200,
    promptsPerStep: fast ? 32 : 16,
    numGenerations: 8,
    temperature: 1,
    route: 'text' as const,
    loss: {},
    advantages: {},
    numIterations: 1,
    miniBatches: 1,
    zeroVariance: 'keep' as const,
    maxResamples: 3,
    syncReferenceEvery: 0,
    optimizer: {
      learningRate: 1e-4,
      warmupSteps: 10,
      decay: 'constant' as const,
      finalFraction: 0,
      maxGradNorm: 1,
      weightDecay: 0,
    },
  };
}
