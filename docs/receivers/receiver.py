"""Verifies webhooks of Posthaste, with Python's standard library.

As a program, for trying it out; exit code 0 is a good signature:

    WEBHOOK_SECRETS='whsec_…' python3 receiver.py verify ID TIMESTAMP SIGNATURE < body

Signatures of `v1a` need the package `cryptography`, those of `v1` nothing.
"""

import os
import sys

# Quoted in docs/receiving.md: begin
import base64
import hashlib
import hmac
import re
import time

TOLERANCE_SECONDS = 300


class BadSignature(Exception):
    """The request is not to be trusted."""


def verify(headers, body, secrets, now=None):
    """Raises BadSignature unless one of the secrets signed this body (bytes), and lately."""
    headers = {name.lower(): value for name, value in headers.items()}
    try:
        webhook_id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
        signatures = headers["webhook-signature"]
    except KeyError as missing:
        raise BadSignature(f"the header {missing} is missing") from None
    if "." in webhook_id or not re.fullmatch("[0-9]{1,12}", timestamp):
        raise BadSignature("the id or the timestamp is not of Posthaste's making")
    if abs((time.time() if now is None else now) - int(timestamp)) > TOLERANCE_SECONDS:
        raise BadSignature("signed too long ago, or ahead of this clock")
    signed = f"{webhook_id}.{timestamp}.".encode("utf-8", "surrogateescape") + body
    for signature in signatures.split(" "):
        version, _, encoded = signature.partition(",")
        if any(fits(version, encoded, signed, secret) for secret in secrets):
            return
    raise BadSignature("no signature fits")


def fits(version, encoded, signed, secret):
    """Whether this is the secret's signature. Versions that the secret is not for never fit."""
    if version == "v1" and secret.startswith("whsec_"):
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        if len(key) < 24:
            raise ValueError("a secret has at least 24 bytes")
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
        return hmac.compare_digest(expected, encoded.encode("utf-8", "surrogateescape"))
    if version == "v1a" and secret.startswith("whpk_"):
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(secret.removeprefix("whpk_"), validate=True))
        try:
            key.verify(base64.b64decode(encoded, validate=True), signed)
            return True
        except (InvalidSignature, ValueError):
            return False
    return False
# Quoted in docs/receiving.md: end


def main():
    if len(sys.argv) != 5 or sys.argv[1] != "verify":
        sys.exit(__doc__)
    headers = dict(zip(("Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"), sys.argv[2:]))
    try:
        verify(headers, sys.stdin.buffer.read(), os.environ["WEBHOOK_SECRETS"].split())
    except BadSignature as reason:
        sys.exit(f"not valid: {reason}")
    print("valid")


if __name__ == "__main__":
    main()
