//! https: who is believed, and what every way of failing is called.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use bytes::Bytes;
use posthaste::domain::{ErrorClass, Outcome};
use posthaste::transport::TlsClient;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};

use super::receiver::{Connection, OK, Receiver, Seen};
use super::{Names, World, addresses, bare, failed, request, within};

const ROOT: &[u8] = include_bytes!("certificates/root.der");
const CERTIFICATE: &[u8] = include_bytes!("certificates/receiver.der");
const KEY: &[u8] = include_bytes!("certificates/receiver.key.der");

/// A client that trusts the tests' root and nothing else.
pub fn client() -> TlsClient {
    TlsClient::from_roots([CertificateDer::from(ROOT)]).expect("a root that rustls can read")
}

pub fn world() -> World {
    let mut world = World::new();
    world.tls = client();
    world.names = Names::of([
        ("receiver.test", vec![addresses(&["127.0.0.1"])]),
        ("other.test", vec![addresses(&["127.0.0.1"])]),
    ]);
    world
}

type Secured = Connection<StreamOwned<ServerConnection, TcpStream>>;

/// A receiver behind TLS.
pub fn start(
    versions: &[&'static SupportedProtocolVersion],
    behave: impl Fn(Secured) + Send + Sync + 'static,
) -> Receiver {
    start_with(versions, WebPkiClientVerifier::no_client_auth(), behave)
}

/// Who called, by the certificate that was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    Known(String),
    Unknown,
}

/// A receiver behind TLS that asks who calls, believes what the tests' own clients
/// show, and takes those who show nothing. It says who sent each request.
pub fn asking_who_calls(callers: mpsc::Sender<Caller>) -> Receiver {
    let callers = Mutex::new(callers);
    start_with(rustls::ALL_VERSIONS, clients(), move |mut connection| {
        while connection.request().is_some() {
            let _ = callers.lock().expect("no panic").send(caller(&connection));
            connection.write(OK);
        }
    })
}

/// The same over one version, with a connection for each request.
pub fn asking_who_calls_each_time(
    version: &'static SupportedProtocolVersion,
    callers: mpsc::Sender<Caller>,
) -> Receiver {
    let callers = Mutex::new(callers);
    start_with(&[version], clients(), move |mut connection| {
        connection.request();
        let _ = callers.lock().expect("no panic").send(caller(&connection));
        connection.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        connection.stream.conn.send_close_notify();
        let _ = connection.stream.flush();
    })
}

fn clients() -> Arc<dyn ClientCertVerifier> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(include_bytes!("certificates/clients.pem")).expect("it is PEM");
    roots.add(root).expect("it is a root");
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(ring::default_provider()))
        .allow_unauthenticated()
        .build()
        .expect("there is a root")
}

fn caller(connection: &Secured) -> Caller {
    let Some([shown, ..]) = connection.stream.conn.peer_certificates() else { return Caller::Unknown };
    let known = [
        ("acme", include_bytes!("certificates/acme.pem").as_slice()),
        ("globex", include_bytes!("certificates/globex.pem")),
        ("initech", include_bytes!("certificates/initech.pem")),
    ];
    let known = known.into_iter().find(|(_, pem)| CertificateDer::from_pem_slice(pem).expect("it is PEM") == *shown);
    Caller::Known(known.expect("one of the tests' own").0.to_owned())
}

fn start_with(
    versions: &[&'static SupportedProtocolVersion],
    verifier: Arc<dyn ClientCertVerifier>,
    behave: impl Fn(Secured) + Send + Sync + 'static,
) -> Receiver {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("ring knows these versions")
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![CertificateDer::from(CERTIFICATE)], PrivateKeyDer::from(PrivatePkcs8KeyDer::from(KEY)))
        .expect("the key fits the certificate");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let config = Arc::new(config);
    Receiver::start(move |connection| {
        let session = ServerConnection::new(Arc::clone(&config)).expect("a server session");
        behave(connection.map(|stream| StreamOwned::new(session, stream)));
    })
}

pub fn url(host: &str, receiver: &Receiver) -> String {
    format!("https://{host}:{}/hook", receiver.address.port())
}

#[actix_rt::test]
async fn a_certificate_we_trust_is_delivered_to_over_one_connection() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let (sender, protocols) = mpsc::channel();
        let sender = Mutex::new(sender);
        let mut receiver = start(&[version], move |mut connection| {
            while connection.request().is_some() {
                let protocol = connection.stream.conn.alpn_protocol().map(<[u8]>::to_vec);
                sender.lock().expect("no panic").send(protocol).expect("the test listens");
                connection.write(OK);
            }
        });
        let transport = world().open();
        for host in ["receiver.test", "receiver.test", "127.0.0.1"] {
            let outcome = within(transport.send(request(url(host, &receiver)))).await;
            assert_eq!(bare(outcome), Outcome::answered(200, Bytes::from_static(b"ok")), "{host} {version:?}");
            assert_eq!(protocols.recv().expect("one each"), Some(b"http/1.1".to_vec()));
        }
        let shared = [Seen::Request(1), Seen::Request(1), Seen::Request(2)];
        assert_eq!([receiver.next().await, receiver.next().await, receiver.next().await], shared);
    }
}

#[actix_rt::test]
async fn a_certificate_for_somebody_else_or_from_nobody_is_refused() {
    let receiver = start(rustls::ALL_VERSIONS, |mut connection| while connection.request().is_some() {});
    let mut world = world();
    let outcome = within(world.open().send(request(url("other.test", &receiver)))).await;
    let message = failed(&outcome, ErrorClass::Tls);
    assert!(message.contains("other.test"), "{message}");

    // The receiver's own certificate vouches for no other, not even itself.
    world.tls = TlsClient::from_roots([CertificateDer::from(CERTIFICATE)]).expect("a certificate");
    let outcome = within(world.open().send(request(url("receiver.test", &receiver)))).await;
    failed(&outcome, ErrorClass::Tls);
}

#[actix_rt::test]
async fn a_peer_that_does_not_speak_tls_fails_as_tls() {
    let plain = Receiver::start(|mut connection| {
        connection.stream.read_exact(&mut [0; 16]).expect("a hello");
        let _ = connection.stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        connection.hold();
    });
    let outcome = within(world().open().send(request(url("receiver.test", &plain)))).await;
    failed(&outcome, ErrorClass::Tls);

    let closing = Receiver::start(drop);
    let outcome = within(world().open().send(request(url("receiver.test", &closing)))).await;
    failed(&outcome, ErrorClass::Tls);

    let silent = Receiver::start(Connection::hold);
    let mut world = world();
    world.options.connect_timeout = Duration::from_millis(200);
    let outcome = within(world.open().send(request(url("receiver.test", &silent)))).await;
    assert_eq!(failed(&outcome, ErrorClass::Tls), "the TLS handshake took too long");
}

#[actix_rt::test]
async fn without_roots_https_fails_and_says_why() {
    let mut receiver = Receiver::start(Connection::hold);
    let mut world = world();
    world.tls = TlsClient::unavailable("this node has no root certificates");
    let outcome = within(world.open().send(request(url("receiver.test", &receiver)))).await;
    assert_eq!(failed(&outcome, ErrorClass::Tls), "this node has no root certificates");
    assert_eq!(receiver.so_far(), []);
}

#[actix_rt::test]
async fn an_ipv6_literal_has_no_name_to_check() {
    let Ok(listener) = std::net::TcpListener::bind("[::1]:0") else { return };
    let receiver = Receiver::listen(listener, Connection::hold);
    let outcome = within(world().open().send(request(url("[::1]", &receiver)))).await;
    let message = failed(&outcome, ErrorClass::Tls);
    assert!(message.contains("use a name"), "{message}");
}

#[actix_rt::test]
async fn an_unfinished_answer_is_the_connections_last_under_tls_too() {
    let mut receiver = start(rustls::ALL_VERSIONS, |mut connection| {
        connection.request();
        connection.write(if connection.number == 1 { b"HTTP/1.1 103 Early Hints\r\n\r\n" } else { OK });
        connection.hold();
    });
    let transport = world().open();
    let url = url("receiver.test", &receiver);
    let outcome = within(transport.send(request(url.as_str()))).await;
    assert_eq!(bare(outcome), Outcome::answered(103, Bytes::new()));
    assert_eq!(receiver.next().await, Seen::Request(1));
    assert_eq!(receiver.next().await, Seen::End(1));
    assert!(within(transport.send(request(url))).await.is_delivered());
    assert_eq!(receiver.next().await, Seen::Request(2));
}

#[actix_rt::test]
async fn the_platforms_roots_are_read_without_failing_the_start() {
    let mut world = world();
    world.tls = TlsClient::from_platform();
    let receiver = start(rustls::ALL_VERSIONS, |mut connection| while connection.request().is_some() {});
    // Whichever roots this machine has, the tests' own is not among them.
    failed(&within(world.open().send(request(url("receiver.test", &receiver)))).await, ErrorClass::Tls);
}
