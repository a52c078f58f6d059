import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

/** A certificate and its key, as PEM files. */
export interface CertificateFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

/** What a certificate says. */
export interface CertificateOptions {
  /** How it may be addressed, in OpenSSL's words. Default: `IP:127.0.0.1`. */
  readonly names?: string;
  /** Days until it expires; -1 for one that expired yesterday. Default: 2. */
  readonly days?: number;
}

/** A certificate authority of a test. */
export interface Authority {
  /** Its own certificate, for whoever trusts it. */
  readonly caFile: string;
  /** Makes a certificate with this common name, in files named after it. */
  issue(name: string, options?: CertificateOptions): Promise<CertificateFiles>;
}

const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/** Makes an authority whose files, and those of its certificates, are in a folder. */
export async function createAuthority(dir: string, name: string): Promise<Authority> {
  const caFile = join(dir, `${name}.pem`);
  const caKeyFile = join(dir, `${name}.key`);
  const self = ["-keyout", caKeyFile, "-out", caFile, "-days", "2", "-subj", `/CN=${name}`];
  await openssl("req", "-x509", ...newKey, ...self);
  let serial = 0;
  return {
    caFile,
    issue: async (subject, { names = "IP:127.0.0.1", days = 2 } = {}) => {
      const file = (kind: string): string => join(dir, `${name}-${subject}.${kind}`);
      const [certFile, keyFile] = [file("pem"), file("key")];
      await writeFile(file("ext"), `subjectAltName=${names}\n`);
      await openssl("req", ...newKey, "-keyout", keyFile, "-out", file("csr"), "-subj", `/CN=${subject}`);
      const signing = ["-CA", caFile, "-CAkey", caKeyFile, "-set_serial", String(++serial), "-extfile", file("ext")];
      await openssl("x509", "-req", "-in", file("csr"), ...signing, "-days", String(days), "-out", certFile);
      return { certFile, keyFile };
    },
  };
}

async function openssl(...args: string[]): Promise<void> {
  await promisify(execFile)("openssl", args);
}
