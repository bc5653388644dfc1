<?php
// Verifies webhooks of Posthaste, with what PHP 8 brings along (`v1a` by the extension sodium).
//
// As a program, for trying it out; exit code 0 is a good signature:
//
//     WEBHOOK_SECRETS='whsec_…' php receiver.php verify ID TIMESTAMP SIGNATURE < body

declare(strict_types=1);

// Quoted in docs/receiving.md: begin
const TOLERANCE_SECONDS = 300;

final class BadSignature extends Exception
{
}

/** Throws BadSignature unless one of the secrets signed this body, and lately. */
function verify(array $headers, string $body, array $secrets, ?int $now = null): void
{
    $headers = array_change_key_case($headers, CASE_LOWER);
    $id = $headers['webhook-id'] ?? '';
    $timestamp = $headers['webhook-timestamp'] ?? '';
    if ($id === '' || str_contains($id, '.') || preg_match('/\A[0-9]{1,12}\z/', $timestamp) !== 1) {
        throw new BadSignature("the id or the timestamp is missing, or not of Posthaste's making");
    }
    if (abs(($now ?? time()) - (int) $timestamp) > TOLERANCE_SECONDS) {
        throw new BadSignature('signed too long ago, or ahead of this clock');
    }
    $signed = $id . '.' . $timestamp . '.' . $body;
    foreach (explode(' ', $headers['webhook-signature'] ?? '') as $signature) {
        [$version, $encoded] = explode(',', $signature, 2) + ['', ''];
        foreach ($secrets as $secret) {
            if (fits($version, $encoded, $signed, $secret)) {
                return;
            }
        }
    }
    throw new BadSignature('no signature fits');
}

/** Whether this is the secret's signature. Versions that the secret is not for never fit. */
function fits(string $version, string $encoded, string $signed, string $secret): bool
{
    if ($version === 'v1' && str_starts_with($secret, 'whsec_')) {
        $key = base64_decode(substr($secret, strlen('whsec_')), true);
        if ($key === false || strlen($key) < 24) {
            throw new InvalidArgumentException('a secret is the base64 of at least 24 bytes');
        }
        return hash_equals(base64_encode(hash_hmac('sha256', $signed, $key, true)), $encoded);
    }
    if ($version === 'v1a' && str_starts_with($secret, 'whpk_')) {
        $key = base64_decode(substr($secret, strlen('whpk_')), true);
        if ($key === false || strlen($key) !== SODIUM_CRYPTO_SIGN_PUBLICKEYBYTES) {
            throw new InvalidArgumentException('a public key is the base64 of 32 bytes');
        }
        $given = base64_decode($encoded, true);
        return $given !== false && strlen($given) === SODIUM_CRYPTO_SIGN_BYTES
            && sodium_crypto_sign_verify_detached($given, $signed, $key);
    }
    return false;
}
// Quoted in docs/receiving.md: end

if (PHP_SAPI === 'cli' && realpath($argv[0]) === __FILE__) {
    if ($argc !== 5 || $argv[1] !== 'verify') {
        fwrite(STDERR, "usage: php receiver.php verify ID TIMESTAMP SIGNATURE < body\n");
        exit(2);
    }
    $headers = ['Webhook-Id' => $argv[2], 'Webhook-Timestamp' => $argv[3], 'Webhook-Signature' => $argv[4]];
    $secrets = preg_split('/\s+/', (string) getenv('WEBHOOK_SECRETS'), -1, PREG_SPLIT_NO_EMPTY);
    try {
        verify($headers, (string) stream_get_contents(STDIN), $secrets);
    } catch (BadSignature $reason) {
        fwrite(STDERR, 'not valid: ' . $reason->getMessage() . "\n");
        exit(1);
    }
    echo "valid\n";
}
