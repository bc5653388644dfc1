//! What an operator says of the way out: whose certificates are trusted, where
//! connections come from, which ports are open. What cannot be is said at the start.

use std::path::Path;
use std::process::Stdio;

use serde_json::json;

use super::tried;
use crate::support::folder::Folder;
use crate::support::node::{Node, command};
use crate::transport::receiver::{OK, Receiver};
use crate::transport::tls;

const LOOPBACK: &str = "127.0.0.0/8";

fn certificate(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/transport/certificates");
    folder.join(name).to_str().expect("a path of text").to_owned()
}

#[test]
fn https_is_checked_with_the_operators_roots_and_no_others() {
    let receiver = tls::start(rustls::ALL_VERSIONS, |mut connection| {
        while connection.request().is_some() {
            connection.write(OK);
        }
    });
    let url = format!("https://{}/", receiver.address);
    let trusting = Node::start(&[("CA_FILE", &certificate("root.pem"))]);
    assert_eq!(tried(&trusting.tenant("production"), &url)["delivered"], true);
    // Another root, and those of the platform, do not vouch for it.
    for others in [certificate("clients.pem"), String::new()] {
        let node = Node::start(&[("CA_FILE", &others)]);
        assert_eq!(tried(&node.tenant("production"), &url)["error"]["class"], "tls", "{others}");
    }
}

#[test]
fn options_that_cannot_be_end_the_start_before_there_is_a_store() {
    let files = Folder::new();
    let write = |name: &str, text: &str| {
        std::fs::write(files.file(name), text).unwrap();
        files.file(name).to_str().unwrap().to_owned()
    };
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let half = std::fs::read_to_string(certificate("root.pem")).unwrap().replace("-----END CERTIFICATE-----", "");
    let key = std::fs::read_to_string(certificate("acme.key.pem")).unwrap();
    for (option, value, expected) in [
        ("CA_FILE", files.file("missing.pem").to_str().unwrap().to_owned(), "cannot read the root certificates"),
        ("CA_FILE", write("empty.pem", ""), "has no `-----BEGIN CERTIFICATE-----`"),
        ("CA_FILE", write("key.pem", &key), "has no `-----BEGIN CERTIFICATE-----`"),
        ("CA_FILE", write("half.pem", &half), "is not PEM"),
        ("CA_FILE", write("broken.pem", broken), "certificate 1 of `ca_file`"),
        ("PROXY", "http://user:s3cret@".to_owned(), "must be `http://`, a host and a port"),
        ("PROXY", "https://user:s3cret@proxy:3128".to_owned(), "must begin with `http://`"),
        ("NAME_SERVERS", "dns.example.com".to_owned(), "is no address of a name server"),
        ("SOURCE_ADDRESS", "10.0.0.1,10.0.0.2".to_owned(), "second address of its family"),
        ("DENIED_PORTS", "usual,0".to_owned(), "is neither a port from 1 to 65535"),
    ] {
        let folder = Folder::new();
        let mut command = command(&folder);
        command.env(format!("POSTHASTE_{option}"), &value).stderr(Stdio::piped());
        let ended = command.output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(!ended.status.success() && said.contains(expected), "{option}={value}: {said}");
        assert!(!said.contains("s3cret"), "{said}");
        assert!(!folder.file("posthaste.db").exists(), "{option}={value} left a store behind");
    }
}

#[test]
fn connections_come_from_the_address_that_was_named() {
    let (sender, from) = std::sync::mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let receiver = Receiver::start(move |mut connection| {
        sender.lock().unwrap().send(connection.stream.peer_addr().unwrap().ip()).unwrap();
        connection.request();
        connection.write(OK);
    });
    let node = Node::start(&[("SOURCE_ADDRESS", "127.0.0.9,::1"), ("ALLOW_ADDRESSES", LOOPBACK)]);
    assert_eq!(tried(&node.tenant("sandbox"), &receiver.url())["delivered"], true);
    assert_eq!(from.recv().unwrap().to_string(), "127.0.0.9");
    assert!(!node.log().contains("source_address"), "{}", node.log());
}

#[test]
fn an_address_that_the_machine_does_not_have_is_warned_of_and_fails_each_attempt() {
    let receiver = Receiver::answering(OK);
    // Kept for documentation: no machine has it.
    let node = Node::start(&[("SOURCE_ADDRESS", "203.0.113.77")]);
    assert!(node.log().contains("this machine does not have 203.0.113.77"), "{}", node.log());
    let error = &tried(&node.tenant("sandbox"), &receiver.url())["error"];
    assert_eq!(error["class"], "connect");
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with("this node cannot send from its source address 203.0.113.77"), "{message}");
}

#[test]
fn denied_ports_are_the_operators_to_name() {
    let ports = |node: &Node| -> Vec<u16> {
        let tenant = node.tenant("sandbox");
        let refused = |port: &u16| {
            let webhook = json!({ "url": format!("http://example.com:{port}/"), "events": ["*"], "enabled": false });
            let answer = tenant.partner.post("/webhook", webhook.to_string());
            answer.status == 422 && answer.pointers() == ["/url"]
        };
        [22, 80, 443, 6_379, 8_080, 9_000, 9_005].into_iter().filter(refused).collect()
    };
    assert_eq!(ports(&Node::start(&[])), [22, 6_379]);
    assert_eq!(ports(&Node::start(&[("DENIED_PORTS", "usual,9000-9010")])), [22, 6_379, 9_000, 9_005]);
    assert_eq!(ports(&Node::start(&[("DENIED_PORTS", "8080, 80")])), [80, 8_080]);
    assert_eq!(ports(&Node::start(&[("DENIED_PORTS", "")])), Vec::<u16>::new());
}
