//! The limit: a server of the same make, actix-web in front and awc behind, that
//! signs each event and sends it on before it answers, and keeps nothing. What it
//! reaches is what this machine can do at all with these libraries, this load and
//! this sink; the rest of the way to it is what durability costs. It takes the
//! calls that set up the real server, as far as the benchmark makes them.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_service::ServiceExt as _;
use actix_web::{App, HttpResponse, HttpServer, web};
use arc_swap::ArcSwap;
use awc::Client;
use awc::http::Uri;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use posthaste::clock::Clock;
use posthaste::policy::signature::{SigningKey, SigningSecret, sign};

use crate::event::EVENT_TYPE;

/// Sends at once for one call.
pub const SENDS_OF_A_CALL: usize = 128;
const MAX_BODY_BYTES: usize = 16 << 20;
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
/// As the server's transport has it.
const IDLE_CONNECTION: Duration = Duration::from_secs(4);

/// Serves until it is killed.
pub fn run(address: SocketAddr) -> io::Result<()> {
    let endpoints = web::Data::new(ArcSwap::<Vec<Uri>>::default());
    let app = move || {
        App::new()
            .app_data(web::PayloadConfig::new(MAX_BODY_BYTES))
            .app_data(endpoints.clone())
            .app_data(web::Data::new(Sender::new()))
            .route("/readyz", web::get().to(HttpResponse::Ok))
            .route("/webhook", web::post().to(subscribe))
            .route("/events", web::post().to(forward_one))
            .route("/events/batch", web::post().to(forward_batch))
    };
    actix_rt::System::new().block_on(HttpServer::new(app).bind(address)?.run())
}

type Endpoints = web::Data<ArcSwap<Vec<Uri>>>;

/// What one thread sends with; connections cannot cross threads.
pub struct Sender {
    client: Client,
    secret: SigningKey,
    clock: Clock,
    sent: Cell<u64>,
}

/// A client with the options of the server's transport, but the plain connector
/// instead of its own.
fn client() -> Client {
    let dial = actix_tls::connect::Connector::default().service().map(|connected: Connected| {
        // Like the server's. Where it fails, connections are slower; no matter.
        let _ = connected.io_ref().set_nodelay(true);
        connected
    });
    let connector =
        awc::Connector::new().connector(dial).limit(0).conn_keep_alive(IDLE_CONNECTION).conn_lifetime(Duration::MAX);
    Client::builder().connector(connector).disable_redirects().timeout(ATTEMPT_TIMEOUT).finish()
}

type Connected = actix_tls::connect::Connection<Uri, actix_rt::net::TcpStream>;

#[derive(serde::Deserialize)]
struct Subscription {
    url: String,
}

async fn subscribe(subscription: web::Json<Subscription>, endpoints: Endpoints) -> HttpResponse {
    let Ok(uri) = subscription.url.parse::<Uri>() else { return HttpResponse::UnprocessableEntity().finish() };
    endpoints.rcu(|before| {
        let mut after = Vec::clone(before);
        after.push(uri.clone());
        after
    });
    HttpResponse::Created().finish()
}

async fn forward_one(body: Bytes, endpoints: Endpoints, sender: web::Data<Sender>) -> HttpResponse {
    let endpoints = endpoints.load_full();
    let messages = endpoints.iter().map(|endpoint| (endpoint, body.clone()));
    let answer = format!(r#"{{"id":"evt_0","event":"{EVENT_TYPE}","deliveries":{}}}"#, endpoints.len());
    answer_when_sent(&sender, messages, answer).await
}

async fn forward_batch(body: Bytes, endpoints: Endpoints, sender: web::Data<Sender>) -> HttpResponse {
    let endpoints: Arc<Vec<Uri>> = endpoints.load_full();
    let lines = || body.split(|byte| *byte == b'\n');
    let messages = lines().flat_map(|line| endpoints.iter().map(|endpoint| (endpoint, body.slice_ref(line))));
    let line = format!(r#"{{"id":"evt_0","event":"{EVENT_TYPE}","deliveries":{}}}"#, endpoints.len());
    let answer = format!(r#"{{"data":[{}]}}"#, vec![line; lines().count()].join(","));
    answer_when_sent(&sender, messages, answer).await
}

/// 202 when every message has been taken, 502 when one has not.
async fn answer_when_sent<'a>(
    sender: &Sender,
    messages: impl Iterator<Item = (&'a Uri, Bytes)>,
    answer: String,
) -> HttpResponse {
    let mut sending =
        stream::iter(messages).map(|(endpoint, body)| sender.send(endpoint, body)).buffer_unordered(SENDS_OF_A_CALL);
    while let Some(taken) = sending.next().await {
        if !taken {
            return HttpResponse::BadGateway().finish();
        }
    }
    HttpResponse::Accepted().content_type("application/json").body(answer)
}

impl Sender {
    pub fn new() -> Self {
        let secret = SigningSecret::from_key(&[7; 32]).expect("32 bytes are a key");
        Self { client: client(), secret: secret.into(), clock: Clock::system(), sent: Cell::new(0) }
    }

    /// Sends what the server would send, header for header; whether it was taken.
    pub async fn send(&self, endpoint: &Uri, body: Bytes) -> bool {
        let number = self.sent.replace(self.sent.get() + 1);
        let webhook_id = format!("evt_{number:026}");
        let seconds = self.clock.wall().as_seconds();
        let signature = sign([&self.secret], &webhook_id, seconds, &body);
        let sent = self
            .client
            .post(endpoint)
            .no_decompress()
            .insert_header(("content-type", "application/json"))
            .insert_header(("user-agent", concat!("Posthaste/", env!("CARGO_PKG_VERSION"))))
            .insert_header(("webhook-id", webhook_id))
            .insert_header(("webhook-timestamp", seconds.to_string()))
            .insert_header(("webhook-signature", signature))
            .insert_header(("posthaste-delivery", format!("dlv_{number:026}")))
            .insert_header(("posthaste-attempt", "1"))
            .send_body(body)
            .await;
        sent.is_ok_and(|answer| answer.status().is_success())
    }
}
