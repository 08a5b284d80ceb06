// SPDX-License-Identifier: Apache-2.0
// The AWS SDK for JavaScript, driven over lines of JSON: one call a line in, one answer a line out.
//   {service, operation, region, endpoint, keys: [id, secret, token?], params}
//   {value} or {error: {code, message, status, reason}}
// Bytes are {base64: "..."}; "wait:Name" calls the waiter waitUntilName. AWS_MAX_ATTEMPTS counts, as for any program.
import { createInterface } from "node:readline";
import * as ebs from "@aws-sdk/client-ebs";
import * as ec2 from "@aws-sdk/client-ec2";
import * as kms from "@aws-sdk/client-kms";
import * as sts from "@aws-sdk/client-sts";

const packages = {
  ebs: [ebs, ebs.EBSClient],
  ec2: [ec2, ec2.EC2Client],
  kms: [kms, kms.KMSClient],
  sts: [sts, sts.STSClient],
};
const clients = new Map();

function clientOf({ service, region, endpoint, keys }) {
  const id = JSON.stringify([service, region, endpoint, keys]);
  if (!clients.has(id)) {
    const [accessKeyId, secretAccessKey, sessionToken] = keys;
    clients.set(id, new packages[service][1]({
      region, endpoint, credentials: { accessKeyId, secretAccessKey, sessionToken },
    }));
  }
  return clients.get(id);
}

function decoded(name, value) {
  if (value && typeof value === "object") {
    if ("base64" in value) return Buffer.from(value.base64, "base64");
    if (Array.isArray(value)) return value.map((v) => decoded("", v));
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, decoded(k, v)]));
  }
  return name === "DeprecateAt" ? new Date(value) : value;
}

async function encoded(value) {
  if (value && typeof value.transformToByteArray === "function")
    return { base64: Buffer.from(await value.transformToByteArray()).toString("base64") };
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return Promise.all(value.map(encoded));
  if (value && typeof value === "object") {
    const entries = await Promise.all(Object.entries(value).map(async ([k, v]) => [k, await encoded(v)]));
    return Object.fromEntries(entries.filter(([k]) => k !== "$metadata"));
  }
  return value;
}

async function call(request) {
  const library = packages[request.service][0];
  const client = clientOf(request);
  const params = decoded("", request.params);
  if (request.operation.startsWith("wait:")) {
    const wait = library[`waitUntil${request.operation.slice(5)}`];
    const result = await wait({ client, maxWaitTime: 60, minDelay: 1, maxDelay: 1 }, params);
    return { state: result.state };
  }
  const command = library[`${request.operation}Command`];
  if (!command) return { unknown: true };
  return encoded(await client.send(new command(params)));
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = { value: await call(JSON.parse(line)) };
  } catch (e) {
    const message = e.message || String(e);
    answer = { error: { code: e.name, message, status: e.$metadata?.httpStatusCode ?? 0, reason: e.Reason ?? null } };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
