// Verifies webhooks of Posthaste, with Java's own classes (17 and later).
//
// As a program, for trying it out; exit code 0 is a good signature:
//
//     WEBHOOK_SECRETS='whsec_…' java Receiver.java verify ID TIMESTAMP SIGNATURE < body

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.MessageDigest;
import java.security.PublicKey;
import java.security.Signature;
import java.security.SignatureException;
import java.security.spec.X509EncodedKeySpec;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

public final class Receiver {
    // Quoted in docs/receiving.md: begin
    static final long TOLERANCE_SECONDS = 300;
    /** What X.509 puts in front of the 32 bytes of a public key. */
    static final byte[] X509_OF_ED25519 = HexFormat.of().parseHex("302a300506032b6570032100");

    /** Throws SignatureException unless one of the secrets signed this body, and lately. */
    static void verify(Map<String, String> headers, byte[] body, List<String> secrets, long nowSeconds)
            throws GeneralSecurityException {
        Map<String, String> anyCase = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
        anyCase.putAll(headers);
        String id = anyCase.getOrDefault("webhook-id", "");
        String timestamp = anyCase.getOrDefault("webhook-timestamp", "");
        if (id.isEmpty() || id.contains(".") || !timestamp.matches("[0-9]{1,12}")) {
            throw new SignatureException("the id or the timestamp is missing, or not of Posthaste's making");
        }
        if (Math.abs(nowSeconds - Long.parseLong(timestamp)) > TOLERANCE_SECONDS) {
            throw new SignatureException("signed too long ago, or ahead of this clock");
        }
        byte[] head = (id + "." + timestamp + ".").getBytes(StandardCharsets.UTF_8);
        for (String signature : anyCase.getOrDefault("webhook-signature", "").split(" ")) {
            String[] parts = signature.split(",", 2);
            for (String secret : secrets) {
                if (parts.length == 2 && fits(parts[0], parts[1], head, body, secret)) {
                    return;
                }
            }
        }
        throw new SignatureException("no signature fits");
    }

    /** Whether this is the secret's signature. Versions that the secret is not for never fit. */
    static boolean fits(String version, String encoded, byte[] head, byte[] body, String secret)
            throws GeneralSecurityException {
        if (version.equals("v1") && secret.startsWith("whsec_")) {
            byte[] key = Base64.getDecoder().decode(secret.substring("whsec_".length()));
            if (key.length < 24) {
                throw new IllegalArgumentException("a secret has at least 24 bytes");
            }
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(key, "HmacSHA256"));
            mac.update(head);
            byte[] expected = Base64.getEncoder().encode(mac.doFinal(body));
            return MessageDigest.isEqual(expected, encoded.getBytes(StandardCharsets.UTF_8));
        }
        if (version.equals("v1a") && secret.startsWith("whpk_")) {
            byte[] key = Base64.getDecoder().decode(secret.substring("whpk_".length()));
            byte[] x509 = new byte[X509_OF_ED25519.length + key.length];
            System.arraycopy(X509_OF_ED25519, 0, x509, 0, X509_OF_ED25519.length);
            System.arraycopy(key, 0, x509, X509_OF_ED25519.length, key.length);
            PublicKey publicKey = KeyFactory.getInstance("Ed25519").generatePublic(new X509EncodedKeySpec(x509));
            Signature verifier = Signature.getInstance("Ed25519");
            verifier.initVerify(publicKey);
            verifier.update(head);
            verifier.update(body);
            try {
                return verifier.verify(Base64.getDecoder().decode(encoded));
            } catch (SignatureException | IllegalArgumentException notOne) {
                return false;
            }
        }
        return false;
    }
    // Quoted in docs/receiving.md: end

    public static void main(String[] arguments) throws IOException, GeneralSecurityException {
        if (arguments.length != 4 || !arguments[0].equals("verify")) {
            throw new IllegalArgumentException("usage: Receiver verify ID TIMESTAMP SIGNATURE < body");
        }
        Map<String, String> headers = Map.of(
                "Webhook-Id", arguments[1], "Webhook-Timestamp", arguments[2], "Webhook-Signature", arguments[3]);
        List<String> secrets = List.of(System.getenv("WEBHOOK_SECRETS").split(" "));
        try {
            verify(headers, System.in.readAllBytes(), secrets, System.currentTimeMillis() / 1000);
        } catch (SignatureException reason) {
            System.err.println("not valid: " + reason.getMessage());
            System.exit(1);
        }
        System.out.println("valid");
    }
}
