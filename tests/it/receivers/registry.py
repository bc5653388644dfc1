"""Hands messages from standard input to the verifiers of PyPI, see registries.rs."""

import json
import sys
from datetime import datetime, timezone

import standardwebhooks
import svix.webhooks


def verdict(webhook, case):
    headers = {
        "webhook-id": case["id"],
        "webhook-timestamp": case["timestamp"],
        "webhook-signature": case["signatures"],
    }
    try:
        webhook.verify(case["body"].encode(), headers)
        return True
    except (standardwebhooks.WebhookVerificationError, svix.webhooks.WebhookVerificationError):
        return False


def signature(webhook, case):
    return webhook.sign(case["id"], datetime.fromtimestamp(int(case["timestamp"]), timezone.utc), case["body"])


cases = json.load(sys.stdin)
judged = []
for library, Webhook in (("standardwebhooks", standardwebhooks.Webhook), ("svix", svix.webhooks.Webhook)):
    webhooks = [Webhook(case["secret"]) for case in cases]
    judged.append({
        "library": library,
        "verdicts": [verdict(*pair) for pair in zip(webhooks, cases)],
        "signatures": [signature(*pair) for pair in zip(webhooks, cases)],
    })
json.dump(judged, sys.stdout)
