import { execFile } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

/** Who calls etcd. */
export interface Credentials {
  readonly name: string;
  readonly password: string;
}

/** A certificate, its key and whom to trust, in PEM. */
export interface TlsContents {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** The same as files, which may be replaced at any time. */
export class TlsFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;

  constructor(dir: string, name: string) {
    this.ca = join(dir, "ca.pem");
    this.cert = join(dir, `${name}.pem`);
    this.key = join(dir, `${name}-key.pem`);
  }

  /** What they hold at this moment. */
  read(): TlsContents {
    return { ca: readFileSync(this.ca), cert: readFileSync(this.cert), key: readFileSync(this.key) };
  }
}

/** How long a token of etcd's is good for: much shorter than a run, so that it expires all the time. */
export const tokenSeconds = 5;

const run = promisify(execFile);
const opensslTimeoutMs = 20_000;

/** Certificates and users of one cluster. */
export class Security {
  readonly root: Credentials = { name: "root", password: "root-of-the-test" };
  readonly node: Credentials = { name: "node", password: "node-of-the-test" };
  readonly adminTls: TlsFiles;
  /** For the nodes, as the client under test takes it. */
  readonly nodeFiles: { readonly caFile: string; readonly certFile: string; readonly keyFile: string };
  readonly etcdFlags: readonly string[];
  readonly #dir: string;
  #authorities = 0;

  private constructor(dir: string) {
    this.#dir = dir;
    this.adminTls = new TlsFiles(dir, "admin");
    const node = new TlsFiles(dir, "node");
    this.nodeFiles = { caFile: node.ca, certFile: node.cert, keyFile: node.key };
    const server = new TlsFiles(dir, "server");
    this.etcdFlags = [
      `--cert-file=${server.cert}`,
      `--key-file=${server.key}`,
      `--trusted-ca-file=${server.ca}`,
      "--client-cert-auth",
      `--auth-token=jwt,pub-key=${join(dir, "jwt.pub")},priv-key=${join(dir, "jwt.key")},sign-method=RS256,` +
        `ttl=${tokenSeconds}s`,
      "--bcrypt-cost=4",
    ];
  }

  /** Makes everything with openssl. */
  static async create(dir: string): Promise<Security> {
    mkdirSync(dir, { recursive: true });
    const security = new Security(dir);
    await openssl(dir, "genrsa", "-out", "jwt.key", "2048");
    await openssl(dir, "rsa", "-in", "jwt.key", "-pubout", "-out", "jwt.pub");
    await security.#authority("issuer");
    copyFileSync(join(dir, "issuer.pem"), security.adminTls.ca);
    await security.#certificates();
    return security;
  }

  /** Replaces every certificate and key. Their authority stays. */
  async rotate(): Promise<void> {
    await this.#certificates();
  }

  /** Makes another authority, which all are to trust beside the one there is. */
  async addAuthority(): Promise<void> {
    await this.#authority("next");
    this.#trust("issuer.pem", "next.pem");
  }

  /** Replaces every certificate and key by ones of the authority that was added. */
  async changeIssuer(): Promise<void> {
    for (const end of [".pem", "-key.pem"]) {
      renameSync(join(this.#dir, `next${end}`), join(this.#dir, `issuer${end}`));
    }
    await this.#certificates();
  }

  /** Only who issued the certificates is to be trusted from now on. */
  dropOldAuthority(): void {
    this.#trust("issuer.pem");
  }

  #trust(...files: readonly string[]): void {
    const { ca } = this.adminTls;
    writeFileSync(`${ca}.new`, files.map((file) => readFileSync(join(this.#dir, file), "utf8")).join(""));
    renameSync(`${ca}.new`, ca);
  }

  async #certificates(): Promise<void> {
    for (const name of ["server", "admin", "node"]) await this.#certificate(name);
  }

  async #authority(name: string): Promise<void> {
    const subject = ["-subj", `/CN=authority ${++this.#authorities} of the test`];
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", `${name}-key.pem`];
    await openssl(this.#dir, "req", "-x509", ...key, ...subject, "-days", "2", "-out", `${name}.pem`);
  }

  async #certificate(name: string): Promise<void> {
    const dir = this.#dir;
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", `${name}-key.new`];
    const extensions = "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n";
    writeFileSync(join(dir, "extensions.cnf"), extensions);
    await openssl(dir, "req", "-new", ...key, "-subj", `/O=${name} of the test`, "-out", `${name}.csr`);
    const signer = ["-CA", "issuer.pem", "-CAkey", "issuer-key.pem", "-CAcreateserial"];
    const output = ["-days", "2", "-extfile", "extensions.cnf", "-out", `${name}.new`];
    await openssl(dir, "x509", "-req", "-in", `${name}.csr`, ...signer, ...output);
    renameSync(join(dir, `${name}-key.new`), join(dir, `${name}-key.pem`));
    renameSync(join(dir, `${name}.new`), join(dir, `${name}.pem`));
  }
}

/** Whether there is an openssl to make certificates with. */
export async function hasOpenssl(): Promise<boolean> {
  try {
    await run("openssl", ["version"], { timeout: opensslTimeoutMs });
    return true;
  } catch {
    return false;
  }
}

async function openssl(cwd: string, ...args: readonly string[]): Promise<void> {
  await run("openssl", args, { cwd, timeout: opensslTimeoutMs });
}
