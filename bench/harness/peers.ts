/** The tools that are measured beside this one, as far as `npm run bench:peers` could prepare them. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PeerProcess } from './peer-process.js';

/** One of them, as bench/peers/peers.json has it. */
export interface Peer {
  /** As tables call it. */
  name: string;
  /** The module of bench/peers that drives it: a .py, or a .ts of the same name. */
  module: string;
  language: 'python' | 'node';
  /** Which of the module's ways, where it has several. */
  way?: string;
  /** What it does. */
  kernels: string[];
}

/** What bench/peers/peers.json is: versions of packages, and who uses them. */
export interface PeerList {
  python: Record<string, string>;
  node: Record<string, string>;
  peers: Peer[];
}

/** Those that are here. Each is started when it is first needed. */
export class Peers {
  /** Versions, or why they are not here. */
  readonly present: Record<string, string> = {};
  readonly absent: Record<string, string> = {};
  private readonly known: readonly Peer[];
  private readonly started = new Map<Peer, PeerProcess>();

  constructor(
    private readonly root: string,
    wanted: boolean,
  ) {
    const { peers } = JSON.parse(readFileSync(join(root, 'bench/peers/peers.json'), 'utf8')) as PeerList;
    this.known = wanted && existsSync(join(root, 'build/peers')) ? peers : [];
  }

  /** Those that do this. */
  async of(kernel: string): Promise<PeerProcess[]> {
    const able = this.known.filter(({ name, kernels }) => kernels.includes(kernel) && !(name in this.absent));
    for (const peer of able) {
      if (this.started.has(peer)) continue;
      const process = await PeerProcess.start(peer, this.root);
      if (typeof process === 'string') {
        this.absent[peer.name] = process;
        continue;
      }
      this.started.set(peer, process);
      this.present[peer.name] = process.versions;
    }
    return able.flatMap((peer) => this.started.get(peer) ?? []);
  }

  stop(): void {
    for (const process of this.started.values()) process.stop();
  }
}
