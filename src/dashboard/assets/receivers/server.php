<?php
// Receives webhooks of Posthaste with what PHP 8 brings along: php -S 0.0.0.0:3000 server.php

declare(strict_types=1);

__VERIFY__
const SECRETS = ['__SECRET__'];
const PATH = '__PATH__';

if ($_SERVER['REQUEST_METHOD'] !== 'POST' || $_SERVER['REQUEST_URI'] !== PATH) {
    http_response_code(404);
    exit;
}
$headers = [];
foreach (['id', 'timestamp', 'signature'] as $name) {
    $headers["webhook-$name"] = $_SERVER['HTTP_WEBHOOK_' . strtoupper($name)] ?? '';
}
$body = (string) file_get_contents('php://input');
try {
    verify($headers, $body, SECRETS);
} catch (BadSignature $reason) {
    error_log('refused: ' . $reason->getMessage());
    http_response_code(400);
    exit;
}
// Your own code. The same webhook-id may come again: do each once.
error_log($headers['webhook-id'] . ' ' . json_decode($body)->event);
http_response_code(204);
