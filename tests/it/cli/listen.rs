//! `posthaste listen` over real sockets: what it answers, what it prints and
//! how it ends.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use clap::Parser;
use posthaste::cli::listen::{ListenArgs, ListenError, listen};
use posthaste::cli::receiver::{Answer, Behaviour, Receiver, Verdict};
use posthaste::clock::Clock;
use posthaste::domain::Timestamp;
use posthaste::policy::signature::{KeyPair, SEED_BYTES, sign};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBka";
const NOW_SECONDS: i64 = 1_700_000_000;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    listen: ListenArgs,
}

/// A `posthaste listen` in this process, its output captured write by write.
struct World {
    url: String,
    output: mpsc::UnboundedReceiver<String>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), ListenError>>,
    client: awc::Client,
}

struct Capture(mpsc::UnboundedSender<String>);

impl Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.0.send(text).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl World {
    async fn start(words: &str) -> Self {
        let flags = Flags::parse_from(std::iter::once("listen").chain(words.split_whitespace()));
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hooks", socket.local_addr().unwrap());
        let clock = Clock::manual(Timestamp::from_millis(NOW_SECONDS * 1_000));
        let (capture, mut output) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = actix_rt::spawn(async move {
            let stopped = async { stopped.await.unwrap_or(()) };
            listen(flags.listen, socket, clock, Capture(capture), stopped).await
        });
        let opening = output.recv().await.unwrap();
        assert!(opening.starts_with("listening on http://127.0.0.1:"), "{opening}");
        Self { url, output, stop, ended, client: awc::Client::default() }
    }

    async fn post(&self, body: &str) -> u16 {
        self.client.post(&self.url).send_body(body.to_owned()).await.unwrap().status().as_u16()
    }

    /// Posts a body signed at a time, and gives what is printed.
    async fn post_signed(&mut self, body: &str, seconds: i64, secret: &str) -> String {
        let signature =
            standardwebhooks::Webhook::new(secret).unwrap().sign("evt_1", seconds, body.as_bytes()).unwrap();
        self.post_with(body, seconds, signature).await
    }

    async fn post_with(&mut self, body: &str, seconds: i64, signature: String) -> String {
        let request = self.client.post(&self.url).insert_header(("webhook-id", "evt_1"));
        let request = request.insert_header(("webhook-timestamp", seconds.to_string()));
        let response = request.insert_header(("webhook-signature", signature)).send_body(body.to_owned()).await;
        assert_eq!(response.unwrap().status(), 200, "a bad signature is shown, not refused");
        self.printed().await
    }

    async fn printed(&mut self) -> String {
        self.output.recv().await.unwrap()
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        self.ended.await.unwrap().unwrap();
    }
}

#[actix_rt::test]
async fn it_fails_as_often_as_it_was_told_and_then_succeeds() {
    let mut world = World::start("--fail 2 --status 502").await;
    assert_eq!([world.post("{}").await, world.post("{}").await, world.post("{}").await], [502, 502, 200]);
    assert!(world.printed().await.contains("POST /hooks  answered 502\n"));
    assert!(world.printed().await.contains("POST /hooks  answered 502\n"));
    assert!(world.printed().await.contains("POST /hooks  answered 200\n"));
    world.end().await;
}

#[actix_rt::test]
async fn it_tells_good_signatures_from_bad_ones() {
    let mut world = World::start(&format!("--secret {OTHER_SECRET} --secret {SECRET}")).await;
    let body = r#"{"event":"campaign.updated"}"#;
    for secret in [SECRET, OTHER_SECRET] {
        let printed = world.post_signed(body, NOW_SECONDS, secret).await;
        assert!(printed.contains("  signature   verified\n"), "{printed}");
        assert!(printed.contains("  webhook-id  evt_1\n") && printed.contains("  event       campaign.updated\n"));
    }
    let third = "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6";
    let printed = world.post_signed(body, NOW_SECONDS, third).await;
    assert!(printed.contains("  signature   BAD SIGNATURE (no signature fits"), "{printed}");
    for seconds in [NOW_SECONDS - 301, NOW_SECONDS + 301] {
        let printed = world.post_signed(body, seconds, SECRET).await;
        assert!(printed.contains("BAD SIGNATURE (the message was signed more than 300 seconds a"), "{printed}");
    }
    world.post(body).await;
    let printed = world.printed().await;
    assert!(printed.contains("BAD SIGNATURE (the header `webhook-id` is missing)"), "{printed}");
    world.end().await;
}

#[actix_rt::test]
async fn it_checks_key_pairs_by_their_public_half() {
    let [ours, theirs] = [1, 2].map(|seed| KeyPair::from_seed(&[seed; SEED_BYTES]));
    let mut world = World::start(&format!("--secret {SECRET} --public-key {}", ours.public_key())).await;
    for (pair, expected) in
        [(ours, "  signature   verified\n"), (theirs, "  signature   BAD SIGNATURE (no signature fits")]
    {
        let signature = sign([&pair.into()], "evt_1", NOW_SECONDS, b"{}");
        let printed = world.post_with("{}", NOW_SECONDS, signature).await;
        assert!(printed.contains(expected), "{printed}");
    }
    assert!(world.post_signed("{}", NOW_SECONDS, SECRET).await.contains("verified"), "secrets still do");
    world.end().await;
}

#[actix_rt::test]
async fn without_a_secret_nothing_is_checked() {
    let mut world = World::start("--quiet").await;
    let printed = world.post_signed(r#"{"event":"a.b"}"#, 1, SECRET).await;
    assert!(printed.ends_with("answered 200  a.b  evt_1  attempt none  not checked (no --secret)\n"), "{printed}");
    world.end().await;
}

#[actix_rt::test]
async fn hostile_bytes_do_not_reach_the_terminal() {
    let mut world = World::start("").await;
    let request = world.client.post(format!("{}?%1b[2J", world.url)).insert_header(("posthaste-delivery", "\u{9b}2J"));
    request.send_body("\u{1b}]0;owned\u{7}\r\n\u{202e}").await.unwrap();
    let printed = world.printed().await;
    assert!(!printed.contains(|character: char| character.is_control() && character != '\n'), "{printed:?}");
    assert!(printed.contains(r"\u{1b}]0;owned\u{7}\r") && printed.contains(r"\u{202e}"), "{printed}");
    world.end().await;
}

#[actix_rt::test]
async fn a_hanging_request_holds_up_no_other() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let (reports, mut received) = mpsc::channel(8);
    let hanging = Behaviour { hang: true, ..Behaviour::default() };
    let receiver = Receiver::start(socket, hanging, Vec::new(), Clock::system(), reports).unwrap();
    let url = format!("http://{}/", receiver.address());

    // The deadline only bounds a failing test: a hanging request ends with the receiver.
    let client = awc::Client::builder().timeout(Duration::from_secs(60)).finish();
    let hung = actix_rt::spawn(client.post(&url).send_body("first"));
    let first = received.recv().await.unwrap();
    assert_eq!((first.answer, first.body.as_ref(), first.verdict), (Answer::Never, &b"first"[..], Verdict::NotChecked));

    receiver.behave(Behaviour::default());
    assert_eq!(client.post(&url).send_body("second").await.unwrap().status(), 200);
    assert_eq!(received.recv().await.unwrap().body, "second");
    assert!(!hung.is_finished(), "a change of behaviour is for later requests");
    receiver.stop().await;
    assert!(hung.await.unwrap().is_err(), "stopping closes what hangs");
}

#[actix_rt::test]
async fn it_ends_when_nobody_reads_what_it_prints() {
    let world = World::start("").await;
    drop(world.output);
    let answered = world.client.post(&world.url).send_body("{}").await;
    assert!(answered.is_err() || answered.is_ok_and(|response| response.status() == 200));
    world.ended.await.unwrap().unwrap();
}

#[test]
fn a_taken_port_is_an_error_with_a_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let flags = Flags::parse_from(["listen", "--port", &port]);
    let error = posthaste::cli::listen::run(flags.listen).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot listen on 127.0.0.1:{port}; `--port` and `--address` choose another")
    );
}

#[test]
fn signals_end_it_cleanly() {
    for signal in ["-TERM", "-INT"] {
        let mut process = start_process();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("listening on ") {
            line.clear();
            assert!(output.read_line(&mut line).unwrap() > 0, "it ended before it listened");
        }
        assert!(Command::new("kill").args([signal, &process.id().to_string()]).status().unwrap().success());
        assert!(process.wait().unwrap().success(), "{signal}");
    }
}

/// This test binary, asked to be the command: the exit code is that of the
/// test below, and a signal that is not caught would show in it.
fn start_process() -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "cli::listen::the_command_itself", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "a process that `signals_end_it_cleanly` starts"]
fn the_command_itself() {
    println!();
    let code = posthaste::cli::run(["posthaste", "listen", "--port", "0"].map(OsString::from));
    assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::SUCCESS));
}
