// Verifies webhooks of Posthaste, with nothing but Node's own modules.
//
// As a program, for trying it out; exit code 0 is a good signature:
//
//     WEBHOOK_SECRETS='whsec_…' node receiver.js verify ID TIMESTAMP SIGNATURE < body
"use strict";

// Quoted in docs/receiving.md: begin
const crypto = require("node:crypto");

const TOLERANCE_SECONDS = 300;

class BadSignature extends Error {}

/** Throws BadSignature unless one of the secrets signed this body (a Buffer), and lately. */
function verify(headers, body, secrets, now = Date.now() / 1000) {
  const lowerCase = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]);
  const {
    "webhook-id": id = "",
    "webhook-timestamp": timestamp = "",
    "webhook-signature": signatures = "",
  } = Object.fromEntries(lowerCase);
  if (id === "" || id.includes(".") || !/^[0-9]{1,12}$/.test(timestamp)) {
    throw new BadSignature("the id or the timestamp is missing, or not of Posthaste's making");
  }
  if (Math.abs(now - Number(timestamp)) > TOLERANCE_SECONDS) {
    throw new BadSignature("signed too long ago, or ahead of this clock");
  }
  const signed = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
  for (const signature of signatures.split(" ")) {
    const [version, encoded = ""] = signature.split(",", 2);
    if (secrets.some((secret) => fits(version, encoded, signed, secret))) {
      return;
    }
  }
  throw new BadSignature("no signature fits");
}

/** Whether this is the secret's signature. Versions that the secret is not for never fit. */
function fits(version, encoded, signed, secret) {
  if (version === "v1" && secret.startsWith("whsec_")) {
    const key = Buffer.from(secret.slice("whsec_".length), "base64");
    if (key.length < 24) {
      throw new Error("a secret has at least 24 bytes");
    }
    const expected = Buffer.from(crypto.createHmac("sha256", key).update(signed).digest("base64"));
    const given = Buffer.from(encoded);
    return given.length === expected.length && crypto.timingSafeEqual(given, expected);
  }
  if (version === "v1a" && secret.startsWith("whpk_")) {
    const x = Buffer.from(secret.slice("whpk_".length), "base64").toString("base64url");
    const key = crypto.createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
    return crypto.verify(null, signed, key, Buffer.from(encoded, "base64"));
  }
  return false;
}
// Quoted in docs/receiving.md: end

async function main([command, id, timestamp, signature, ...rest]) {
  if (command !== "verify" || signature === undefined || rest.length > 0) {
    throw new Error("usage: WEBHOOK_SECRETS='whsec_…' node receiver.js verify ID TIMESTAMP SIGNATURE < body");
  }
  const chunks = [];
  for await (const chunk of process.stdin) {
    chunks.push(chunk);
  }
  const headers = { "Webhook-Id": id, "Webhook-Timestamp": timestamp, "Webhook-Signature": signature };
  const secrets = process.env.WEBHOOK_SECRETS.split(" ").filter((secret) => secret !== "");
  verify(headers, Buffer.concat(chunks), secrets);
}

module.exports = { verify, BadSignature };

if (require.main === module) {
  main(process.argv.slice(2)).then(
    () => console.log("valid"),
    (error) => {
      console.error(error instanceof BadSignature ? `not valid: ${error.message}` : error);
      process.exitCode = 1;
    },
  );
}
