//! A TCP proxy that misbehaves when told to, for what lies between a node and its
//! database or another node: a partition, a dead peer, a failover, an answer that
//! is lost. What a verb promises holds for every byte once the verb returns. It
//! knows nothing of what is said through it, but that it can look for a text.

use std::future::poll_fn;
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use futures_util::future::{Either, select, try_join};
use tokio::io::AsyncWrite;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

/// What is carried at once, in one direction of one connection.
const CARRIED_BYTES: usize = 16 * 1024;
/// The longest text that can be looked for.
const TEXT_BYTES: usize = 100;

/// A running proxy. Dropping it ends all that goes through it.
pub struct FaultProxy {
    rules: Rules,
    address: SocketAddr,
    /// The thread ends when this is gone.
    running: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Held while a byte is passed on, so that whoever changes a rule knows that no
/// byte is passed on by the old one any more.
type Rules = Arc<watch::Sender<Rule>>;

struct Rule {
    mode: Mode,
    upstream: SocketAddr,
    /// How often all connections were cut: those of an earlier age are over.
    age: u64,
    lost_count: u64,
}

enum Mode {
    Pass,
    Stall,
    Cut,
    DropReplies,
    /// The connection that says this is cut, before or after it is heard.
    CutRequest(Vec<u8>),
    CutAnswer(Vec<u8>),
}

impl FaultProxy {
    /// A proxy on a port of its own that passes everything on.
    pub fn start(upstream: SocketAddr) -> Self {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        let rules: Rules = Arc::new(watch::Sender::new(Rule { mode: Mode::Pass, upstream, age: 0, lost_count: 0 }));
        let (running, ended) = oneshot::channel();
        let followed = Arc::clone(&rules);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
            runtime.block_on(async {
                let accepting = accept(TcpListener::from_std(socket).unwrap(), followed);
                select(pin!(accepting), ended).await;
            });
        });
        Self { rules, address, running: Some(running), thread: Some(thread) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Passes everything on, first what was held back.
    pub fn pass(&self) {
        self.switch(Mode::Pass);
    }

    /// Keeps every connection, takes new ones, and passes nothing on, as a network does that loses all packets.
    pub fn stall(&self) {
        self.switch(Mode::Stall);
    }

    /// Resets every connection, and new ones as they come. A connection that nothing has come
    /// through yet may count as new.
    pub fn cut(&self) {
        self.rules.send_modify(|rule| {
            rule.mode = Mode::Cut;
            rule.age += 1;
        });
    }

    /// Resets every connection there is; new ones go by the rule that holds.
    pub fn cut_existing(&self) {
        self.rules.send_modify(|rule| rule.age += 1);
    }

    /// Passes requests on; a connection whose request is answered is reset instead.
    pub fn drop_replies(&self) {
        self.switch(Mode::DropReplies);
    }

    /// Once: the connection that says `text` next is reset, and the server never hears it.
    pub fn cut_at_request(&self, text: &str) {
        self.switch(Mode::CutRequest(looked_for(text)));
    }

    /// Once: the connection that says `text` next is reset when the server has
    /// answered, and the answer is never heard.
    pub fn cut_at_answer(&self, text: &str) {
        self.switch(Mode::CutAnswer(looked_for(text)));
    }

    /// New connections lead there, as after a failover.
    pub fn set_upstream(&self, upstream: SocketAddr) {
        self.rules.send_modify(|rule| rule.upstream = upstream);
    }

    /// How many requests or answers were lost, each with its connection.
    pub fn lost_count(&self) -> u64 {
        self.rules.borrow().lost_count
    }

    fn switch(&self, mode: Mode) {
        self.rules.send_modify(|rule| rule.mode = mode);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        drop(self.running.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn looked_for(text: &str) -> Vec<u8> {
    assert!((1..=TEXT_BYTES).contains(&text.len()), "a text of at most {TEXT_BYTES} bytes");
    text.into()
}

async fn accept(listener: TcpListener, rules: Rules) {
    loop {
        // What went away before it was taken is none of ours.
        if let Ok((client, _)) = listener.accept().await {
            tokio::spawn(carry(client, Arc::clone(&rules)));
        }
    }
}

/// One connection from its beginning to its end.
async fn carry(mut client: TcpStream, rules: Rules) {
    let age = rules.borrow().age;
    let whole = async {
        let mut server = dial(&rules).await?;
        let carried = both_ways(&mut client, &mut server, &rules, age).await;
        if carried.is_err() {
            reset(&server);
        }
        carried
    };
    let over = pin!(cut_off(&rules, age));
    let ended_well = matches!(select(pin!(whole), over).await, Either::Left((Ok(()), _)));
    if !ended_well {
        reset(&client);
    }
}

async fn both_ways(client: &mut TcpStream, server: &mut TcpStream, rules: &Rules, age: u64) -> Result<(), Error> {
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let answer_is_lost = &AtomicBool::new(false);
    let there =
        Passage { from: from_client, to: to_server, replies: false, age, rules, answer_is_lost, said: Vec::new() };
    let back =
        Passage { from: from_server, to: to_client, replies: true, age, rules, answer_is_lost, said: Vec::new() };
    try_join(there.run(), back.run()).await.map(|_| ())
}

/// The server's end, once anything may pass.
async fn dial(rules: &Rules) -> Result<TcpStream, Error> {
    flowing(rules).await;
    let upstream = {
        let rule = rules.borrow();
        if matches!(rule.mode, Mode::Cut) {
            return Err(ErrorKind::ConnectionReset.into());
        }
        rule.upstream
    };
    let server = TcpStream::connect(upstream).await?;
    server.set_nodelay(true)?;
    Ok(server)
}

/// Has the other side learn the end of this connection as an error.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

/// Comes when the connections of this age are over.
async fn cut_off(rules: &Rules, age: u64) {
    let _ = rules.subscribe().wait_for(|rule| rule.age != age).await;
}

/// Comes when anything may pass.
async fn flowing(rules: &Rules) {
    let _ = rules.subscribe().wait_for(|rule| !matches!(rule.mode, Mode::Stall)).await;
}

/// One direction of one connection.
struct Passage<'a> {
    from: ReadHalf<'a>,
    to: WriteHalf<'a>,
    replies: bool,
    age: u64,
    rules: &'a Rules,
    /// What both directions know: the next answer is never heard.
    answer_is_lost: &'a AtomicBool,
    /// The end of what was passed on, in which a text may begin that is looked for.
    said: Vec<u8>,
}

enum Verdict {
    Pass,
    Hold,
    Lose,
}

impl Passage<'_> {
    async fn run(mut self) -> Result<(), Error> {
        let mut buffer = vec![0; CARRIED_BYTES];
        loop {
            self.from.readable().await?;
            let read_bytes = match self.from.try_read(&mut buffer) {
                Ok(0) => break,
                Ok(read_bytes) => read_bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            };
            let mut rest = &buffer[..read_bytes];
            while !rest.is_empty() {
                flowing(self.rules).await;
                self.to.writable().await?;
                let passed_bytes = self.pass(rest)?;
                rest = &rest[passed_bytes..];
            }
        }
        flowing(self.rules).await;
        poll_fn(|context| Pin::new(&mut self.to).poll_shutdown(context)).await
    }

    /// Passes on what the rule lets through, and says how many bytes that was.
    fn pass(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let rules = self.rules;
        let mut outcome = Err(ErrorKind::ConnectionReset.into());
        rules.send_if_modified(|rule| {
            if rule.age != self.age {
                return false;
            }
            match self.judge(rule, bytes) {
                Verdict::Hold => outcome = Ok(0),
                Verdict::Pass => outcome = self.write(bytes),
                Verdict::Lose => rule.lost_count += 1,
            }
            // Nobody waits for a count, nor for a text that was heard.
            false
        });
        outcome
    }

    fn judge(&self, rule: &mut Rule, bytes: &[u8]) -> Verdict {
        if matches!(rule.mode, Mode::Stall) {
            return Verdict::Hold;
        }
        if self.replies {
            let lost = matches!(rule.mode, Mode::DropReplies) || self.answer_is_lost.load(Ordering::Relaxed);
            return if lost { Verdict::Lose } else { Verdict::Pass };
        }
        match &rule.mode {
            Mode::CutRequest(text) if self.hears(text, bytes) => {
                rule.mode = Mode::Pass;
                Verdict::Lose
            }
            Mode::CutAnswer(text) if self.hears(text, bytes) => {
                rule.mode = Mode::Pass;
                self.answer_is_lost.store(true, Ordering::Relaxed);
                Verdict::Pass
            }
            _ => Verdict::Pass,
        }
    }

    /// Whether these bytes complete or contain a text. One that was said before they
    /// came is not said again with them.
    fn hears(&self, text: &[u8], bytes: &[u8]) -> bool {
        let begun = &self.said[self.said.len().saturating_sub(text.len() - 1)..];
        let heard = [begun, bytes].concat();
        heard.windows(text.len()).any(|window| window == text)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let passed_bytes = match self.to.try_write(bytes) {
            Ok(passed_bytes) => passed_bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        self.said.extend_from_slice(&bytes[..passed_bytes]);
        self.said.drain(..self.said.len().saturating_sub(TEXT_BYTES - 1));
        Ok(passed_bytes)
    }
}
