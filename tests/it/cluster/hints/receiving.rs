//! The route that takes hints, on a server of its own, and on a node that has
//! no others.

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use actix_web::{App, HttpRequest, HttpServer, web};
use posthaste::cluster::{Forward, HINTS_BYTES_MAX, HINTS_PATH, Hint, HintOptions, HintSender, encode};
use posthaste::domain::Partition;
use posthaste::metrics::Metrics;
use posthaste::routes::{self, HintsIn};

use super::{TOKEN, births, born, until};
use crate::support::http::Client;
use crate::support::node::SharedNode;

static ALONE: SharedNode = SharedNode::new();

/// The route alone, with a token or without.
struct Receiving {
    address: SocketAddr,
    system: actix_rt::System,
    delivered: mpsc::Receiver<Vec<Hint>>,
    metrics: Arc<Metrics>,
}

impl Receiving {
    fn start(token: Option<&str>) -> Self {
        let (deliver, delivered) = mpsc::channel();
        let deliver = Arc::new(move |hints| deliver.send(hints).unwrap());
        let hints_in = token.map(|token| HintsIn::new(token, deliver));
        let metrics = Arc::new(Metrics::default());
        let counted = Arc::clone(&metrics);
        let (started, start) = mpsc::channel();
        std::thread::spawn(move || {
            let system = actix_rt::System::new();
            system.block_on(async {
                let server = HttpServer::new(move || {
                    let (hints_in, metrics) = (hints_in.clone(), Arc::clone(&counted));
                    let route = move |request: HttpRequest, payload: web::Payload| {
                        let (hints_in, metrics) = (hints_in.clone(), Arc::clone(&metrics));
                        async move { routes::cluster::receive(hints_in.as_ref(), &metrics, &request, payload).await }
                    };
                    App::new()
                        .wrap(routes::all_errors_are_problems())
                        .service(web::resource(HINTS_PATH).default_service(web::to(route)))
                })
                .workers(1)
                .disable_signals()
                .bind("127.0.0.1:0")
                .unwrap();
                started.send((server.addrs()[0], actix_rt::System::current())).unwrap();
                actix_rt::spawn(server.run());
            });
            system.run().unwrap();
        });
        let (address, system) = start.recv().unwrap();
        Self { address, system, delivered, metrics }
    }

    fn client(&self, key: Option<&str>) -> Client {
        Client { address: self.address, key: key.map(str::to_owned) }
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.system.stop();
    }
}

#[test]
fn hints_are_handed_on_and_counted() {
    let node = Receiving::start(Some(TOKEN));
    let friend = node.client(Some(TOKEN));
    friend.post(HINTS_PATH, encode(&births(0..3))).expect(204);
    assert_eq!(node.delivered.try_recv().unwrap(), births(0..3), "before the answer");
    friend.post(HINTS_PATH, r#"{"hints": [["of", "a", "newer", {"release": 1}]]}"#).expect(204);
    assert!(node.delivered.try_recv().is_err(), "what is not known here is nothing to hand on");
    assert_eq!(node.metrics.node_hints_received.get(), 3);
}

#[test]
fn only_the_token_opens_it() {
    let node = Receiving::start(Some(TOKEN));
    let almost = TOKEN.replace("the-nodes", "the-nodez");
    for wrong in [None, Some("x"), Some(&*almost), Some(&TOKEN[1..]), Some(&TOKEN.to_uppercase())] {
        let refused = node.client(wrong).post(HINTS_PATH, encode(&[born(0)]));
        let problem = refused.problem(401, "unauthorized");
        assert!(problem["detail"].as_str().unwrap().contains("token"), "{problem}");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
        assert!(!refused.body.contains(TOKEN));
    }
    let basic = format!("Basic {TOKEN}");
    node.client(None).send("POST", HINTS_PATH, &[("authorization", &basic)], b"{}").problem(401, "unauthorized");
    assert!(node.delivered.try_recv().is_err());
    assert_eq!(node.metrics.node_hints_received.get(), 0);
}

#[test]
fn what_cannot_be_read_is_refused_whole() {
    let node = Receiving::start(Some(TOKEN));
    let friend = node.client(Some(TOKEN));
    friend.post(HINTS_PATH, "{").problem(400, "invalid-json");
    friend.post(HINTS_PATH, "").problem(400, "invalid-json");
    friend.post(HINTS_PATH, "{}").problem(422, "invalid");
    let half =
        friend.post(HINTS_PATH, r#"{"hints": [["changed", "ep_01h455vb4pex5vsknk084sn02q"], ["changed", "?"]]}"#);
    let problem = half.problem(422, "invalid");
    assert!(problem["detail"].as_str().unwrap().contains("`?` is not an endpoint id"), "{problem}");
    friend.send("POST", HINTS_PATH, &[("content-type", "text/plain")], b"{}").problem(415, "unsupported-media-type");
    let get = friend.get(HINTS_PATH);
    get.problem(405, "method-not-allowed");
    assert_eq!(get.header("allow"), Some("POST"));
    let large = friend.post(HINTS_PATH, vec![b' '; HINTS_BYTES_MAX + 1]).problem(413, "too-large");
    assert!(large["detail"].as_str().unwrap().contains("1048576"), "{large}");
    assert!(node.delivered.try_recv().is_err());
    let mut largest = encode(&[born(0)]).to_vec();
    largest.resize(HINTS_BYTES_MAX, b' ');
    friend.post(HINTS_PATH, largest).expect(204);
}

#[test]
fn without_a_token_there_is_no_such_route() {
    let node = Receiving::start(None);
    for method in ["POST", "GET"] {
        let answer = node.client(Some(TOKEN)).send(method, HINTS_PATH, &[("content-type", "application/json")], b"{}");
        let problem = answer.problem(404, "not-found");
        assert_eq!(problem["detail"], "there is no route `/cluster/hints`");
    }
}

#[test]
fn a_node_that_is_alone_has_no_such_route() {
    let node = ALONE.get();
    let tenant = node.tenant("production");
    for client in [node.operator(), tenant.partner, tenant.producer] {
        for method in ["POST", "GET"] {
            let answer = client.send(method, HINTS_PATH, &[("content-type", "application/json")], b"{}");
            let unknown = client.send(method, "/cluster/hintz", &[("content-type", "application/json")], b"{}");
            assert_eq!(answer.problem(404, "not-found")["title"], unknown.problem(404, "not-found")["title"]);
            assert_eq!(answer.body, unknown.body.replace("hintz", "hints"));
        }
    }
}

#[actix_rt::test]
async fn what_one_node_sends_another_takes() {
    let node = Receiving::start(Some(TOKEN));
    let address: Arc<str> = format!("http://{}/", node.address).into();
    let metrics = Arc::new(Metrics::default());
    let owner_of = Arc::new(move |_: Partition| Some(Arc::clone(&address)));
    let sender = HintSender::start(owner_of, TOKEN, Arc::clone(&metrics), HintOptions::default());
    let hints = births(0..5_000);
    for hint in &hints {
        sender.forward(Partition::numbered(0), *hint);
    }
    let mut taken = Vec::new();
    while taken.len() < hints.len() {
        taken.extend(node.delivered.recv_timeout(Duration::from_secs(20)).expect("more comes"));
    }
    assert_eq!(taken, hints);
    until("all counted", || metrics.node_hints_sent.get() == 5_000);
    assert_eq!((metrics.node_hints_dropped.get(), node.metrics.node_hints_received.get()), (0, 5_000));

    let stranger = HintSender::start(
        Arc::new({
            let address: Arc<str> = format!("http://{}", node.address).into();
            move |_| Some(Arc::clone(&address))
        }),
        "another-token",
        Arc::clone(&metrics),
        HintOptions::default(),
    );
    stranger.forward(Partition::numbered(0), born(0));
    until("it is refused", || metrics.node_hints_dropped.get() == 1);
    assert!(node.delivered.try_recv().is_err());
}
