// Receives webhooks of Posthaste with Java's own classes (17 and later): java Server.java

import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
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

public final class Server {
    static final List<String> SECRETS = List.of("__SECRET__");
    static final String PATH = "__PATH__";

__VERIFY__
    /** The status that a request is answered with. */
    static int receive(String method, String path, Map<String, String> headers, byte[] body) throws IOException {
        if (!method.equals("POST") || !path.equals(PATH)) {
            return 404;
        }
        try {
            verify(headers, body, SECRETS, System.currentTimeMillis() / 1000);
        } catch (SignatureException reason) {
            System.err.println("refused: " + reason.getMessage());
            return 400;
        } catch (GeneralSecurityException reason) {
            throw new IOException(reason);
        }
        // Your own code. The same webhook-id may come again: do each once.
        System.out.println(headers.get("Webhook-id") + " " + new String(body, StandardCharsets.UTF_8));
        return 204;
    }

    public static void main(String[] arguments) throws IOException {
        int port = Integer.parseInt(System.getenv().getOrDefault("PORT", "3000"));
        HttpServer server = HttpServer.create(new InetSocketAddress(port), 0);
        server.createContext("/", exchange -> {
            Map<String, String> headers = new TreeMap<>();
            exchange.getRequestHeaders().forEach((name, values) -> headers.put(name, values.get(0)));
            byte[] body = exchange.getRequestBody().readAllBytes();
            String path = exchange.getRequestURI().toString();
            exchange.sendResponseHeaders(receive(exchange.getRequestMethod(), path, headers, body), -1);
            exchange.close();
        });
        server.start();
    }
}
