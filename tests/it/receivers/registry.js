// Hands messages from standard input to the verifiers of npm, see registries.rs.
"use strict";

const cases = JSON.parse(require("node:fs").readFileSync(0, "utf8"));

const judged = ["standardwebhooks", "svix"].map((library) => {
  const { Webhook, WebhookVerificationError } = require(library);
  const verdict = (one) => {
    try {
      new Webhook(one.secret).verify(Buffer.from(one.body), {
        "webhook-id": one.id,
        "webhook-timestamp": one.timestamp,
        "webhook-signature": one.signatures,
      });
      return true;
    } catch (error) {
      // JSON that they cannot read comes after a good signature.
      if (error instanceof WebhookVerificationError) {
        return false;
      }
      throw error;
    }
  };
  const signature = (one) => new Webhook(one.secret).sign(one.id, new Date(Number(one.timestamp) * 1000), one.body);
  return { library, verdicts: cases.map(verdict), signatures: cases.map(signature) };
});
process.stdout.write(JSON.stringify(judged));
