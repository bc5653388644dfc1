//! Client certificates: a receiver that asks who calls hears the one that the
//! request was to show, over whichever connection and however it was opened.

use std::sync::Arc;
use std::sync::mpsc;

use posthaste::domain::{ClientCertificate, ErrorClass, PrivateKey, Timestamp};
use posthaste::policy::client_certificate;
use posthaste::transport::{Request, Transport};

use super::receiver::Seen;
use super::tls::{self, Caller, world};
use super::{failed, request, within};

macro_rules! certificate {
    ($name:literal, $key:literal) => {
        certificate(
            include_str!(concat!("certificates/", $name, ".pem")),
            include_str!(concat!("certificates/", $key, ".pem")),
        )
    };
}

fn certificate(pem: &str, key: &str) -> Arc<ClientCertificate> {
    // At a time when all of them were valid.
    Arc::new(client_certificate::check(pem, key, Timestamp::from_millis(0)).expect("the tests' own pair"))
}

fn showing(url: &str, certificate: Option<&Arc<ClientCertificate>>) -> Request {
    Request { certificate: certificate.cloned(), ..request(url) }
}

async fn delivered(transport: &dyn Transport, url: &str, certificate: Option<&Arc<ClientCertificate>>) {
    let outcome = within(transport.send(showing(url, certificate))).await;
    assert!(outcome.is_delivered(), "{:?}", outcome.error);
}

#[actix_rt::test]
async fn requests_that_show_different_certificates_share_no_connection() {
    let (callers, seen) = mpsc::channel();
    let mut receiver = tls::asking_who_calls(callers);
    let url = tls::url("receiver.test", &receiver);
    let (acme, globex) = (certificate!("acme", "acme.key"), certificate!("globex", "globex.key"));
    // What is equal is the same, wherever it was read from.
    let again = certificate!("acme", "acme.sec1");
    let known = |name: &str| Caller::Known(name.to_owned());
    let transport = world().open();
    for (shown, caller, connection) in [
        (Some(&acme), known("acme"), 1),
        (Some(&globex), known("globex"), 2),
        (None, Caller::Unknown, 3),
        (Some(&acme), known("acme"), 1),
        (None, Caller::Unknown, 3),
        (Some(&globex), known("globex"), 2),
        (Some(&Arc::new(acme.as_ref().clone())), known("acme"), 1),
        // The same key in another form is another value, and so another connection.
        (Some(&again), known("acme"), 4),
    ] {
        delivered(transport.as_ref(), &url, shown).await;
        assert_eq!(seen.recv().expect("one each"), caller);
        assert_eq!(receiver.next().await, Seen::Request(connection));
    }
}

#[actix_rt::test]
async fn a_resumed_session_is_that_of_who_began_it() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let (callers, seen) = mpsc::channel();
        let receiver = tls::asking_who_calls_each_time(version, callers);
        let url = tls::url("receiver.test", &receiver);
        let (acme, globex) = (certificate!("acme", "acme.key"), certificate!("globex", "globex.key"));
        let transport = world().open();
        for _ in 0..3 {
            for (shown, caller) in [
                (Some(&acme), Caller::Known("acme".into())),
                (None, Caller::Unknown),
                (Some(&globex), Caller::Known("globex".into())),
            ] {
                delivered(transport.as_ref(), &url, shown).await;
                assert_eq!(seen.recv().expect("one each"), caller, "{version:?}");
            }
        }
    }
}

#[actix_rt::test]
async fn every_kind_of_key_signs() {
    let (callers, seen) = mpsc::channel();
    let receiver = tls::asking_who_calls(callers);
    let url = tls::url("receiver.test", &receiver);
    let transport = world().open();
    for (name, shown) in [
        ("acme", certificate!("acme", "acme.sec1")),
        ("globex", certificate!("globex", "globex.key")),
        ("initech", certificate!("initech", "initech.key")),
    ] {
        delivered(transport.as_ref(), &url, Some(&shown)).await;
        assert_eq!(seen.recv().expect("one each"), Caller::Known(name.into()));
    }
}

#[actix_rt::test]
async fn one_that_is_over_is_offered_and_the_receiver_decides() {
    let (callers, _seen) = mpsc::channel();
    let receiver = tls::asking_who_calls(callers);
    let expired = certificate!("expired", "acme.key");
    let sending = world().open().send(showing(&tls::url("receiver.test", &receiver), Some(&expired)));
    let outcome = within(sending).await;
    let message = failed(&outcome, ErrorClass::Tls);
    assert!(message.contains("Expired"), "{message}");
}

#[actix_rt::test]
async fn one_that_is_broken_fails_its_own_attempts_and_no_others() {
    let (callers, seen) = mpsc::channel();
    let mut receiver = tls::asking_who_calls(callers);
    let url = tls::url("receiver.test", &receiver);
    let acme = certificate!("acme", "acme.key");
    let with = |change: fn(&mut ClientCertificate)| {
        let mut broken = acme.as_ref().clone();
        change(&mut broken);
        Arc::new(broken)
    };
    let transport = world().open();
    for broken in [
        with(|certificate| certificate.chain.clear()),
        with(|certificate| certificate.chain[0].truncate(20)),
        with(|certificate| certificate.key = PrivateKey::new(b"s3cret".to_vec())),
    ] {
        let outcome = within(transport.send(showing(&url, Some(&broken)))).await;
        let message = failed(&outcome, ErrorClass::Tls);
        assert!(message.starts_with("the endpoint's client certificate cannot be used"), "{message}");
        assert!(!message.contains("s3cret"), "{message}");
    }
    assert_eq!(receiver.so_far(), [], "nothing was dialled for them");
    delivered(transport.as_ref(), &url, Some(&acme)).await;
    assert_eq!(seen.recv().expect("a request"), Caller::Known("acme".into()));
}

#[actix_rt::test]
async fn over_http_it_is_not_shown_and_connections_are_shared() {
    let mut receiver = super::receiver::Receiver::answering(super::receiver::OK);
    let transport = world().open();
    let (acme, globex) = (certificate!("acme", "acme.key"), certificate!("globex", "globex.key"));
    for shown in [Some(&acme), None, Some(&globex)] {
        delivered(transport.as_ref(), &receiver.url(), shown).await;
        assert_eq!(receiver.next().await, Seen::Request(1));
    }
}

#[actix_rt::test]
async fn its_connections_are_let_go_like_all_others() {
    let (callers, _seen) = mpsc::channel();
    let mut receiver = tls::asking_who_calls(callers);
    let mut world = world();
    world.options.client_lifetime = std::time::Duration::from_millis(100);
    let transport = world.open();
    let url = tls::url("receiver.test", &receiver);
    delivered(transport.as_ref(), &url, Some(&certificate!("acme", "acme.key"))).await;
    assert_eq!(receiver.next().await, Seen::Request(1));
    assert_eq!(receiver.next().await, Seen::End(1));
}
