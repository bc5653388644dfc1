//! TLS: who is spoken to, how a certificate is renewed, and how nodes speak with each
//! other.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned, SupportedProtocolVersion,
};
use serde_json::{Value, json};

use crate::support::folder::Folder;
use crate::support::http::{Response, connect};
use crate::support::node::{Node, campaign, command, eventually};
use crate::support::postgres::Postgres;

use super::rest;

const ROOT: &[u8] = include_bytes!("../../transport/certificates/root.der");
const CERTIFICATE: &[u8] = include_bytes!("../../transport/certificates/receiver.der");
const KEY: &[u8] = include_bytes!("../../transport/certificates/receiver.key.der");
const RENEWED: &str = include_str!("certificates/renewed.pem");
const RENEWED_KEY: &str = include_str!("certificates/renewed.key");
const OPERATOR_KEY: &str = "the-operator-of-these-tests";

fn pem(section: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|from| &text[from..text.len().min(from + 64)]).collect();
    format!("-----BEGIN {section}-----\n{}\n-----END {section}-----\n", lines.join("\n"))
}

/// A folder with the files of a server that is 127.0.0.1.
struct Files(Folder);

impl Files {
    fn new() -> Self {
        let files = Self(Folder::new());
        files.write("server.pem", &pem("CERTIFICATE", CERTIFICATE));
        files.write("server.key", &pem("PRIVATE KEY", KEY));
        files.write("root.pem", &pem("CERTIFICATE", ROOT));
        files
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.file(name), text).unwrap();
    }

    fn start(&self, options: &[(&str, &str)]) -> Node {
        let mut all = vec![("TLS_CERTIFICATE", "server.pem"), ("TLS_KEY", "server.key")];
        all.extend_from_slice(options);
        Node::on(&self.0, &all)
    }
}

/// Believes everybody, so that a test can see whom it speaks to.
#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &ring::default_provider().signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &ring::default_provider().signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

fn speak(address: SocketAddr, versions: &[&'static SupportedProtocolVersion]) -> Tls {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous))
        .with_no_client_auth();
    let client = ClientConnection::new(Arc::new(config), "127.0.0.1".try_into().unwrap()).unwrap();
    StreamOwned::new(client, connect(address))
}

/// One request on a connection of its own, and the certificate that was shown.
fn ask(address: SocketAddr, versions: &[&'static SupportedProtocolVersion], request: &str) -> (Response, Vec<u8>) {
    let mut stream = speak(address, versions);
    stream.write_all(request.as_bytes()).unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).expect("it says that it has said everything");
    let shown = stream.conn.peer_certificates().unwrap()[0].to_vec();
    (Response::parse(&said).unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(&said))), shown)
}

fn request(method: &str, path: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {OPERATOR_KEY}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn all() -> Vec<&'static SupportedProtocolVersion> {
    vec![&rustls::version::TLS12, &rustls::version::TLS13]
}

fn api(node: &Node, method: &str, path: &str, body: &str) -> Value {
    let (answer, _) = ask(node.address, &all(), &request(method, path, body));
    assert!(answer.status < 300, "{method} {path}: {answer:?}");
    answer.json()
}

fn metric(node: &Node, name: &str) -> u64 {
    let (answer, _) = ask(node.address, &all(), &request("GET", "/metrics", ""));
    let line = answer.body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().unwrap())
}

#[test]
fn a_node_with_a_certificate_speaks_tls_and_nothing_else() {
    let files = Files::new();
    let node = files.start(&[("HEAD_TIMEOUT_MS", "300")]);
    let base = format!("https://{}", node.address);
    eventually("the log says so", || node_says(&node, "listens on").filter(|line| line.ends_with(&base)));
    for version in all() {
        let (answer, shown) = ask(node.address, &[version], &request("GET", "/event-types", ""));
        assert_eq!((answer.status, shown.as_slice()), (200, CERTIFICATE), "{version:?}");
    }
    // Clear text is no handshake, and one that takes its time is none either.
    let said = rest(&mut {
        let mut stream = connect(node.address);
        stream.write_all(super::HEALTH.as_bytes()).unwrap();
        stream
    });
    assert!(Response::parse(&said).is_none(), "{:?}", String::from_utf8_lossy(&said));
    assert_eq!(rest(&mut connect(node.address)), b"");
    let closed = |reason: &str| metric(&node, &format!("posthaste_connections_closed_total{{reason=\"{reason}\"}}"));
    eventually("both were counted", || (closed("handshake") == 1 && closed("slow_handshake") == 1).then_some(()));
    // What is limited without TLS is with it: a slow head, on the first and on a later request.
    for requests in [0, 1] {
        let mut stream = speak(node.address, &all());
        for _ in 0..requests {
            stream.write_all(super::HEALTH.as_bytes()).unwrap();
            let mut answer = [0; 17];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200 OK\r\n");
        }
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhos").unwrap();
        let mut said = Vec::new();
        stream.read_to_end(&mut said).unwrap();
        let text = String::from_utf8_lossy(&said);
        assert!(text.contains("HTTP/1.1 408 ") && text.contains("head-timeout"), "{text}");
    }
    // Bodies as large as they may be come through, and so do answers.
    let mut large = campaign("campaign.created", "large").into_bytes();
    large.resize(262_144, b' ');
    api(&node, "POST", "/events", std::str::from_utf8(&large).unwrap());
    assert!(node.stop().success());
}

#[test]
fn files_that_cannot_be_used_are_refused_at_the_start() {
    let files = Files::new();
    files.write("renewed.key", RENEWED_KEY);
    files.write("empty.pem", "");
    files.write("broken.pem", "-----BEGIN CERTIFICATE-----\nnot base64!\n-----END CERTIFICATE-----\n");
    files.write("garbage.pem", &pem("CERTIFICATE", b"no certificate at all"));
    for (options, parts) in [
        (vec![("TLS_CERTIFICATE", "server.pem")], vec!["`tls_key` must name a file"]),
        (vec![("TLS_KEY", "server.key")], vec!["`tls_certificate` must name a file"]),
        (
            vec![("TLS_CERTIFICATE", "nowhere.pem"), ("TLS_KEY", "server.key")],
            vec!["`tls_certificate`: cannot read nowhere.pem", "No such file"],
        ),
        (
            vec![("TLS_CERTIFICATE", "server.pem"), ("TLS_KEY", "nowhere.key")],
            vec!["`tls_key`: cannot read nowhere.key"],
        ),
        (
            vec![("TLS_CERTIFICATE", "server.key"), ("TLS_KEY", "server.key")],
            vec!["`tls_certificate`: there is no certificate in server.key", "BEGIN CERTIFICATE"],
        ),
        (
            vec![("TLS_CERTIFICATE", "server.pem"), ("TLS_KEY", "empty.pem")],
            vec!["`tls_key`: there is no private key in empty.pem"],
        ),
        (
            vec![("TLS_CERTIFICATE", "broken.pem"), ("TLS_KEY", "server.key")],
            vec!["`tls_certificate`: broken.pem is not a PEM file"],
        ),
        (
            vec![("TLS_CERTIFICATE", "garbage.pem"), ("TLS_KEY", "server.key")],
            vec!["`tls_key` does not go with `tls_certificate`"],
        ),
        (
            vec![("TLS_CERTIFICATE", "server.pem"), ("TLS_KEY", "renewed.key")],
            vec!["`tls_key` does not go with `tls_certificate`"],
        ),
        (vec![("CLUSTER_CA_FILE", "nowhere.pem")], vec!["`cluster_ca_file`: cannot read nowhere.pem"]),
        (vec![("CLUSTER_CA_FILE", "garbage.pem")], vec!["`cluster_ca_file`: a certificate in garbage.pem"]),
    ] {
        let mut started = command(&files.0);
        started.envs(options.iter().map(|(name, value)| (format!("POSTHASTE_{name}"), value)));
        let ended = started.stderr(std::process::Stdio::piped()).output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(!ended.status.success(), "{options:?}: {said}");
        for part in parts {
            assert!(said.contains(part), "{options:?}: {said}");
        }
    }
}

#[test]
fn a_renewed_certificate_is_taken_up_and_a_broken_one_is_not() {
    let files = Files::new();
    let node = files.start(&[("KEEP_ALIVE_MS", "60000")]);
    let shown = || ask(node.address, &all(), &request("GET", "/healthz", "")).1;
    let hang_up = || assert!(Command::new("kill").args(["-HUP", &node.id().to_string()]).status().unwrap().success());
    assert_eq!(shown(), CERTIFICATE);
    let mut open = speak(node.address, &all());
    open.write_all(super::HEALTH.as_bytes()).unwrap();
    open.read_exact(&mut [0; 17]).unwrap();

    // Half of a renewal: the certificate is there, its key is not yet.
    files.write("server.pem", RENEWED);
    hang_up();
    eventually("it is kept out", || {
        node.log().contains("the TLS certificate stays as it was: `tls_key`").then_some(())
    });
    assert_eq!(shown(), CERTIFICATE);
    files.write("server.key", RENEWED_KEY);
    hang_up();
    eventually("it is taken up", || (shown() != CERTIFICATE).then_some(()));
    assert_eq!(pem("CERTIFICATE", &shown()), RENEWED);
    std::fs::remove_file(files.0.file("server.key")).unwrap();
    hang_up();
    eventually("it is missed", || node.log().contains("`tls_key`: cannot read server.key").then_some(()));
    assert_eq!(pem("CERTIFICATE", &shown()), RENEWED);
    // Connections that were open go on.
    open.write_all(super::HEALTH.as_bytes()).unwrap();
    let mut said = vec![0; 1];
    open.read_exact(&mut said).unwrap();
    assert!(node.log().contains("the TLS certificate was renewed"));
}

#[test]
fn nodes_speak_tls_with_each_other() {
    let files = Files::new();
    let database = Postgres::database();
    let url = database.url();
    let options = [("STORE", url.as_str()), ("CLUSTER_TOKEN", "a-token-of-this-test"), ("CLUSTER_CA_FILE", "root.pem")];
    let (one, other) = (files.start(&options), files.start(&options));
    let owned = |node: &Node| metric(node, "posthaste_partitions_owned");
    eventually("each owns its share", || (owned(&one) == 128 && owned(&other) == 128).then_some(()));
    let nodes = api(&one, "GET", "/nodes", "");
    for node in [&one, &other] {
        let address = format!("https://{}", node.address);
        assert!(nodes["data"].as_array().unwrap().iter().any(|shown| shown["address"] == address), "{nodes}");
    }
    // Endpoints of both are told of what either accepts.
    for number in 0..16 {
        let webhook = json!({ "url": format!("https://127.0.0.1:9/{number}"), "events": ["*"] });
        api(&one, "POST", "/webhook", &webhook.to_string());
    }
    eventually("hints arrive", || {
        // Where the other one is reached, a node learns a while after the shares have moved.
        api(&one, "POST", "/events", &campaign("campaign.created", "1"));
        (metric(&other, "posthaste_node_hints_received_total") > 0).then_some(())
    });
    assert!(metric(&one, "posthaste_node_hints_sent_total") > 0);
    // And each can say what goes on at the other one.
    let webhooks = api(&one, "GET", "/webhook", "");
    for webhook in webhooks["data"].as_array().unwrap() {
        eventually("its owner answers", || {
            let shown = api(&one, "GET", &format!("/webhook/{}", webhook["id"].as_str().unwrap()), "");
            (shown["health"]["actor"]["reachable"] == true).then_some(())
        });
    }
}

#[test]
fn a_node_that_is_not_believed_is_said_so() {
    let files = Files::new();
    files.write("other.pem", RENEWED);
    let database = Postgres::database();
    let url = database.url();
    let options = |ca| [("STORE", url.as_str()), ("CLUSTER_TOKEN", "a-token-of-this-test"), ("CLUSTER_CA_FILE", ca)];
    let (one, _other) = (files.start(&options("other.pem")), files.start(&options("root.pem")));
    eventually("each owns its share", || (metric(&one, "posthaste_partitions_owned") == 128).then_some(()));
    for number in 0..16 {
        let webhook = json!({ "url": format!("https://127.0.0.1:9/{number}"), "events": ["*"] });
        api(&one, "POST", "/webhook", &webhook.to_string());
    }
    eventually("the log says why", || {
        api(&one, "POST", "/events", &campaign("campaign.created", "1"));
        node_says(&one, "takes no hints").filter(|line| line.contains("certificate"))
    });
    assert_eq!(metric(&one, "posthaste_node_hints_sent_total"), 0);
}

fn node_says(node: &Node, what: &str) -> Option<String> {
    node.log().lines().find(|line| line.contains(what)).map(str::to_owned)
}
