// The way in: one gateway, its repositories and branches.

import type { Transport } from "@connectrpc/connect";
import { Branch } from "./branch.js";
import { Channel, type ConnectOptions, grpcWebTransport } from "./channel.js";
import type { Branch as WireBranch } from "./gen/virtualdom/v1/dom_pb.js";
import type { BranchInfo, RepoInfo } from "./types.js";
import { numberFrom, operationId } from "./wire.js";

/** A client of the gateway, sidecar or Envoy at `baseUrl`. Nothing is sent yet. */
export function connect(options: ConnectOptions): Gateway {
  return new Gateway(grpcWebTransport(options), options);
}

/** A client over a transport of your own, e.g. one in memory for a test. */
export function connectOver(
  transport: Transport,
  options: Pick<ConnectOptions, "realm" | "timeoutMs"> = {},
): Gateway {
  return new Gateway(transport, options);
}

export class Gateway {
  readonly #channel: Channel;

  constructor(transport: Transport, options: Pick<ConnectOptions, "realm" | "timeoutMs">) {
    this.#channel = new Channel(transport, options);
  }

  /** One branch. The first permitted write creates repo and branch. */
  branch(repo: string, branch: string): Branch {
    return new Branch(this.#channel, repo, branch);
  }

  /** All repos of the realm by name, page by page. */
  async repos(signal?: AbortSignal): Promise<RepoInfo[]> {
    const all: RepoInfo[] = [];
    let pageToken = "";
    do {
      const request = { realm: this.#channel.realm, pageToken };
      const page = await this.#channel.call(
        (client, options) => client.listRepos(request, options),
        signal,
      );
      all.push(...page.repos.map(({ name, branches }) => ({ name, branches })));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    return all;
  }

  /** All branches of a repo by name, page by page. */
  async branches(repo: string, signal?: AbortSignal): Promise<BranchInfo[]> {
    const all: BranchInfo[] = [];
    let pageToken = "";
    do {
      const request = { realm: this.#channel.realm, repo, pageToken };
      const page = await this.#channel.call(
        (client, options) => client.listBranches(request, options),
        signal,
      );
      all.push(...page.branches.map(branchInfoOf));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    return all;
  }

  /** Creates a branch from another, at its latest revision or an earlier one. */
  async createBranch(
    repo: string,
    branch: string,
    from: { branch: string; revision?: number },
  ): Promise<BranchInfo | undefined> {
    const request = {
      realm: this.#channel.realm,
      repo,
      branch,
      fromBranch: from.branch,
      atRevision: BigInt(from.revision ?? 0),
      operationId: operationId(),
    };
    const response = await this.#channel.call((client, options) =>
      client.createBranch(request, options),
    );
    return response.branch && branchInfoOf(response.branch);
  }

  /** Deletes a branch: its log ends, and its name is free. Needs scope `dom.admin`. */
  async deleteBranch(repo: string, branch: string): Promise<void> {
    const request = { realm: this.#channel.realm, repo, branch, operationId: operationId() };
    await this.#channel.call((client, options) => client.deleteBranch(request, options));
  }
}

function branchInfoOf(branch: WireBranch): BranchInfo {
  return {
    name: branch.name,
    head: {
      epoch: numberFrom(branch.epoch),
      revision: numberFrom(branch.revision),
      hash: branch.headHash.byteLength > 0 ? branch.headHash : undefined,
    },
    from: branch.fromBranch
      ? { branch: branch.fromBranch, revision: numberFrom(branch.fromRevision) }
      : undefined,
  };
}
