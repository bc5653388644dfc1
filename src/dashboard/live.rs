//! Live parts of pages, by server-sent events: a page says how its parts are drawn, and
//! those that have changed are sent. Decides how often, how many streams there may be,
//! and when one ends: with its session, its reader, or the node.

use std::cell::Cell;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures_util::stream;
use maud::Markup;
use tokio::sync::watch;

use crate::auth::Pass;
use crate::dashboard::answers;
use crate::dashboard::inside::Trouble;
use crate::dashboard::visitor::Visitor;
use crate::server::Connection;

/// Streams of a node at once. Each holds a connection, and asks the API now and then.
const STREAMS_MAX: usize = 200;
/// Of those at most so many of one key or link.
const STREAMS_OF_ONE: usize = 50;
/// Between two looks: at most one patch of each part.
const EVERY: Duration = Duration::from_secs(1);
/// Looks without news after which a line is sent all the same, by which a reader that
/// has gone is noticed.
const QUIET_LOOKS_MAX: u32 = 15;

/// Of what costs more to ask for than one thing's state, one look in so many.
const SELDOM: u32 = 5;

/// Parts of a page: each an element with this id.
pub type Parts = Vec<(&'static str, Markup)>;

type Drawn = Pin<Box<dyn Future<Output = Result<Parts, Trouble>>>>;

/// All streams of this node.
#[derive(Clone)]
pub struct Streams {
    /// Whose they are.
    open: Arc<Mutex<Vec<Pass>>>,
    stopping: Arc<watch::Sender<bool>>,
}

impl Default for Streams {
    fn default() -> Self {
        Self { open: Arc::default(), stopping: Arc::new(watch::Sender::new(false)) }
    }
}

/// A stream's place. It ends when this is dropped.
struct Place(Arc<Mutex<Vec<Pass>>>, Pass);

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = open.iter().position(|pass| *pass == self.1) {
            open.swap_remove(at);
        }
    }
}

impl Streams {
    /// The node stops: nobody is to wait for their ends.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    fn enter(&self, pass: Pass) -> Option<Place> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let own = open.iter().filter(|other| **other == pass).count();
        if open.len() >= STREAMS_MAX || own >= STREAMS_OF_ONE {
            return None;
        }
        open.push(pass);
        Some(Place(Arc::clone(&self.open), pass))
    }
}

struct Stream {
    visitor: Visitor,
    draw: Box<dyn Fn(Visitor) -> Drawn>,
    /// What was sent last of each part.
    sent: HashMap<&'static str, String>,
    connection: Option<Connection>,
    /// The connection has something to do for as long as the stream lasts.
    work: Option<Box<dyn std::any::Any>>,
    stopping: watch::Receiver<bool>,
    quiet_looks: u32,
    is_first: bool,
    is_over: bool,
    _place: Place,
}

/// Sends the parts that `draw` gives, at once and whenever one has changed.
pub fn stream<D, F>(visitor: Visitor, request: &HttpRequest, draw: D) -> HttpResponse
where
    D: Fn(Visitor) -> F + 'static,
    F: Future<Output = Result<Parts, Trouble>> + 'static,
{
    let streams = visitor.dashboard.streams.clone();
    let Some(place) = streams.enter(visitor.session.pass) else {
        let detail = format!(
            "{STREAMS_MAX} pages of this node, or {STREAMS_OF_ONE} of whoever looks, are live already: reload to see news"
        );
        return answers::bare_trouble(&Trouble {
            status: 503,
            title: "Too many live pages".to_owned(),
            detail,
            errors: Vec::new(),
        });
    };
    let stream = Stream {
        visitor,
        draw: Box::new(move |visitor| Box::pin(draw(visitor))),
        sent: HashMap::new(),
        connection: request.conn_data::<Connection>().cloned(),
        work: None,
        stopping: streams.stopping.subscribe(),
        quiet_looks: 0,
        is_first: true,
        is_over: false,
        _place: place,
    };
    let pieces = stream::unfold(stream, |mut stream| async move {
        let piece = stream.next().await?;
        Some((Ok::<Bytes, actix_web::Error>(piece), stream))
    });
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(Box::pin(pieces))
}

/// The same for lists, which ask the API for more: at once, and then less often.
pub fn seldom<D, F>(visitor: Visitor, request: &HttpRequest, draw: D) -> HttpResponse
where
    D: Fn(Visitor) -> F + 'static,
    F: Future<Output = Result<Parts, Trouble>> + 'static,
{
    let pace = Pace::default();
    stream(visitor, request, move |visitor| {
        let drawn = pace.is_due(false).then(|| draw(visitor));
        async move {
            match drawn {
                Some(drawn) => drawn.await,
                None => Ok(Parts::new()),
            }
        }
    })
}

/// Which of a stream's looks are at the API.
#[derive(Default)]
pub struct Pace(Cell<u32>);

impl Pace {
    /// Whether this one is: each where much is to be seen, or else one in a few.
    pub fn is_due(&self, is_quick: bool) -> bool {
        let passed = self.0.get();
        let is_due = is_quick || passed.is_multiple_of(SELDOM);
        self.0.set(if is_due { 1 } else { passed + 1 });
        is_due
    }
}

impl Stream {
    /// What is sent next, when there is something.
    async fn next(&mut self) -> Option<Bytes> {
        if self.is_over {
            return None;
        }
        if self.work.is_none() {
            // The handler has answered by now: from here on it is the stream that works.
            self.work =
                self.connection.take().map(|connection| Box::new(connection.works(false)) as Box<dyn std::any::Any>);
        }
        loop {
            if !self.is_first {
                tokio::select! {
                    () = actix_rt::time::sleep(EVERY) => {}
                    _ = self.stopping.wait_for(|stops| *stops) => return None,
                }
            }
            let visitor = self.visitor.later();
            if !visitor.session.is_live(visitor.now) {
                return Some(self.gone());
            }
            let text = match (self.draw)(visitor).await {
                Ok(parts) => self.news(parts),
                Err(trouble) if matches!(trouble.status, 401 | 404) => return Some(self.gone()),
                // The page says since when it has heard nothing.
                Err(_) => return None,
            };
            let is_first = std::mem::take(&mut self.is_first);
            self.quiet_looks += 1;
            if !text.is_empty() {
                self.quiet_looks = 0;
                return Some(Bytes::from(text));
            }
            if is_first || self.quiet_looks >= QUIET_LOOKS_MAX {
                self.quiet_looks = 0;
                return Some(Bytes::from_static(b": still here\n\n"));
            }
        }
    }

    fn gone(&mut self) -> Bytes {
        self.is_over = true;
        Bytes::from_static(b"event: gone\ndata: \n\n")
    }

    /// The parts that were not sent like this before.
    fn news(&mut self, parts: Parts) -> String {
        let mut text = String::new();
        for (name, markup) in parts {
            let html = markup.into_string();
            let kept = without_ages(&html);
            if self.sent.get(name).is_some_and(|sent| *sent == kept) {
                continue;
            }
            text.push_str("event: part\n");
            for line in html.split(['\n', '\r']) {
                text.push_str("data: ");
                text.push_str(line);
                text.push('\n');
            }
            text.push('\n');
            self.sent.insert(name, kept);
        }
        text
    }
}

/// A part without what its times say: they grow older by themselves, which is no news.
fn without_ages(html: &str) -> String {
    let mut kept = String::with_capacity(html.len());
    for (at, piece) in html.split("<time ").enumerate() {
        let told = piece.split_once('>').zip(piece.split_once("</time>"));
        match told.filter(|_| at > 0) {
            Some(((attributes, _), (_, rest))) => {
                kept.push_str(attributes);
                kept.push_str(rest);
            }
            None => kept.push_str(piece),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::words;
    use crate::domain::Timestamp;

    #[test]
    fn growing_older_is_no_news() {
        let at = Timestamp::from_millis(1_000);
        let shown = |at, now: i64| {
            maud::html! { p { "since " (words::time(at, Timestamp::from_millis(now))) "!" } }.into_string()
        };
        assert_ne!(shown(at, 5_000), shown(at, 9_000));
        assert_eq!(without_ages(&shown(at, 5_000)), without_ages(&shown(at, 9_000)));
        let later = Timestamp::from_millis(2_000);
        assert_ne!(without_ages(&shown(at, 5_000)), without_ages(&shown(later, 5_000)));
        assert!(without_ages(&shown(at, 5_000)).ends_with("!</p>"));
    }

    #[test]
    fn lists_are_looked_at_now_and_then() {
        let pace = Pace::default();
        let looks: String = (0..11).map(|_| if pace.is_due(false) { 'x' } else { '.' }).collect();
        assert_eq!(looks, "x....x....x");
        assert!(pace.is_due(true) && pace.is_due(true));
        assert_eq!((0..5).filter(|_| pace.is_due(false)).count(), 1);
    }

    #[test]
    fn there_is_a_bound_for_streams() {
        let streams = Streams::default();
        let pass = |number: usize| Pass::Configured([number as u8; 8]);
        let own: Vec<Place> = (0..STREAMS_MAX).filter_map(|_| streams.enter(pass(0))).collect();
        assert_eq!(own.len(), STREAMS_OF_ONE, "the others keep theirs");
        let others: Vec<Place> = (0..STREAMS_MAX).filter_map(|number| streams.enter(pass(1 + number % 10))).collect();
        assert_eq!(own.len() + others.len(), STREAMS_MAX);
        drop(own);
        assert!(streams.enter(pass(11)).is_some());
    }
}
