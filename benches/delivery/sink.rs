//! The subscribers: one thread that takes every webhook, answers 204 and enters
//! in the ledger what came. It serves the forwarder and the server alike, and
//! does as little as it can, because it has the machine in common with them.
//! Beside it, on a port of its own, is one that takes connections and never
//! answers.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use futures_util::future::{Either, select};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::LocalSet;
use tokio::time::sleep;

use crate::event::Template;
use crate::ledger::Ledger;
use crate::outage::{ANSWER_AFTER, Outage, Reply};
use crate::wire::Connection;

const ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
/// The path of every endpoint, before its number.
const PATH: &str = "/hook/";

/// A running sink; it stops when it is dropped.
pub struct Sink {
    address: SocketAddr,
    hanging: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sink {
    /// Starts one on a free port.
    pub fn start(ledger: Arc<Ledger>, outage: Option<Arc<Outage>>) -> io::Result<Self> {
        let (listener, address) = listen()?;
        let (silent, hanging) = listen()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("sink".into()).spawn(move || {
            let serving = LocalSet::new();
            let served = serving.run_until(async move {
                tokio::task::spawn_local(hang(silent));
                let accepting = std::pin::pin!(accept(listener, ledger, outage));
                if let Either::Left((Err(error), _)) = select(accepting, stopped).await {
                    eprintln!("the sink takes no more connections: {error}");
                }
            });
            runtime.block_on(served);
        })?;
        Ok(Self { address, hanging, stop: Some(stop), thread: Some(thread) })
    }

    /// The URL of an endpoint.
    pub fn url(&self, endpoint: usize) -> String {
        format!("http://{}{PATH}{endpoint}", self.address)
    }

    /// The URL of an endpoint that never answers.
    pub fn hanging_url(&self, endpoint: usize) -> String {
        format!("http://{}{PATH}{endpoint}", self.hanging)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // Dropping the sender is the signal, and its thread cannot miss it.
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            eprintln!("the sink panicked: its figures are worth nothing");
        }
    }
}

fn listen() -> io::Result<(std::net::TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

async fn accept(listener: std::net::TcpListener, ledger: Arc<Ledger>, outage: Option<Arc<Outage>>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let template = Rc::new(Template::new());
    loop {
        let (stream, _) = listener.accept().await?;
        let (template, ledger, outage) = (Rc::clone(&template), Arc::clone(&ledger), outage.clone());
        tokio::task::spawn_local(async move {
            // A sender that resets its connection is no news: what it has not
            // delivered, it sends again or is found missing.
            let _ = serve(stream, &template, &ledger, outage.as_deref()).await;
        });
    }
}

/// Takes connections and whatever is sent over them, and leaves it at that until
/// the sender has had enough.
async fn hang(listener: std::net::TcpListener) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::task::spawn_local(async move {
            let mut unread = [0; 1_024];
            while stream.readable().await.is_ok() {
                match stream.try_read(&mut unread) {
                    Ok(1..) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Ok(0) | Err(_) => break,
                }
            }
        });
    }
}

async fn serve(stream: TcpStream, template: &Template, ledger: &Ledger, outage: Option<&Outage>) -> io::Result<()> {
    let mut connection = Connection::over(stream)?;
    while let Some(request) = connection.read().await? {
        let at = ledger.now();
        match (template.sequence(request.body), endpoint(request.target())) {
            (Some(sequence), Some(endpoint)) => {
                match outage.map(|outage| (outage, outage.begin(sequence, endpoint, at))) {
                    None | Some((_, Reply::Taken)) => ledger.receive(sequence, endpoint, at),
                    Some((outage, Reply::TakenSlowly)) => {
                        ledger.receive(sequence, endpoint, at);
                        sleep(ANSWER_AFTER).await;
                        // Whoever hears it may send the next before this thread goes on.
                        outage.answered(endpoint);
                    }
                    Some((_, Reply::Refused)) => {
                        connection.write(REFUSAL).await?;
                        continue;
                    }
                }
            }
            _ => ledger.stray(),
        }
        connection.write(ANSWER).await?;
    }
    Ok(())
}

fn endpoint(target: &[u8]) -> Option<usize> {
    std::str::from_utf8(target.strip_prefix(PATH.as_bytes())?).ok()?.parse().ok()
}
