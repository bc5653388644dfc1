//! How long the server takes for the dashboard's pages, over a store in use: one reader
//! asks for each again and again, and reads it to its end. Beside them stands a page that
//! asks the store for nothing, which is the least that any of them could take.

use std::error::Error;
use std::time::Duration;

use awc::http::header::{COOKIE, LOCATION, SET_COOKIE};
use awc::http::{StatusCode, header};
use posthaste::clock::Clock;
use serde_json::Value;

use crate::audience::Audience;
use crate::big_store::BigStore;
use crate::measured::Spread;
use crate::reach::{Finding, Reach, Reaches};
use crate::run::{Options, Stage};
use crate::seed::in_background;
use crate::server::Server;

const AUDIENCE: Audience = Audience { partners: 10, fan_out: 4, counted: 10 };
/// Since when the deliveries were made.
const DAYS: u64 = 7;
/// How often each page is asked for.
const TIMES: usize = 100;
/// Before those, unmeasured.
const WARM_UP: usize = 3;
/// What no page may take.
const WITHIN_MS: f64 = 100.0;
/// A page is larger than answers of the API are.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// Pages, by what they are called here. Of what stands in braces the newest is meant.
const PAGES: [(&str, &str); 21] = [
    ("shortcuts, which asks for nothing, p99 ms", "/dashboard/shortcuts"),
    ("overview, p99 ms", "/dashboard"),
    ("overview of a week, p99 ms", "/dashboard?span=7d"),
    ("exhausted, p99 ms", "/dashboard/exhausted"),
    ("replays, p99 ms", "/dashboard/replays"),
    ("replay looked at, p99 ms", "/dashboard/replays/look?endpoint={endpoint}&status=delivered&within=24h"),
    ("partners, p99 ms", "/dashboard/partners"),
    ("partner, p99 ms", "/dashboard/partners/{partner}"),
    ("endpoints, p99 ms", "/dashboard/endpoints"),
    ("endpoint, p99 ms", "/dashboard/endpoints/{endpoint}"),
    ("events, p99 ms", "/dashboard/events"),
    ("events by a field, none, p99 ms", "/dashboard/events?at=/id&value=nobody"),
    ("event, p99 ms", "/dashboard/events/{event}"),
    ("deliveries, p99 ms", "/dashboard/deliveries"),
    ("deliveries of an endpoint, p99 ms", "/dashboard/deliveries?endpoint={endpoint}&status=delivered"),
    ("delivery, p99 ms", "/dashboard/deliveries/{delivery}"),
    ("search for a field, none, p99 ms", "/dashboard/find?q=nobody"),
    ("catalog, p99 ms", "/dashboard/catalog"),
    ("nodes, p99 ms", "/dashboard/nodes"),
    ("audit, p99 ms", "/dashboard/audit"),
    ("settings, p99 ms", "/dashboard/settings"),
];

/// Measures it.
pub async fn measure(options: &Options) -> Result<Vec<Finding>, Box<dyn Error>> {
    let (store, deliveries) = (options.installation.store, options.sizes.shown);
    let stage = Stage::set(options, 0, AUDIENCE)?;
    let span = Duration::from_secs(DAYS * 24 * 3_600);
    let big = BigStore { audience: AUDIENCE, deliveries, begin: Clock::system().wall() - span, span };
    big.fits(store, &stage.directory, "--shown")?;
    eprintln!("  writing {deliveries} deliveries of {DAYS} days");
    in_background(&stage.directory, move |directory| big.fill(store, directory)).await?;
    let server = Server::start(&options.installation, &stage.directory).await?;
    // awc does some of its work beside its caller, on the same thread.
    tokio::task::LocalSet::new().run_until(ask_all(&server)).await
}

async fn ask_all(server: &Server) -> Result<Vec<Finding>, Box<dyn Error>> {
    let reader = Reader::sign_in(server).await?;
    let mut findings = Vec::new();
    for (name, page) in PAGES {
        let page = reader.named(page).await?;
        let mut took = Vec::with_capacity(TIMES);
        for time in 0..WARM_UP + TIMES {
            let clock = Clock::system();
            reader.page(&page).await?;
            if time >= WARM_UP {
                took.push(clock.now().monotonic.since_start().as_nanos() as u64);
            }
        }
        let p99 = Spread::of(took).map(|spread| spread.p99);
        findings.push(Finding::new(name, 1, p99).reaching(Reaches::everywhere(Reach::AtMost(WITHIN_MS))));
    }
    Ok(findings)
}

/// An operator with a session.
struct Reader {
    client: awc::Client,
    base: String,
    cookie: String,
}

impl Reader {
    async fn sign_in(server: &Server) -> Result<Self, Box<dyn Error>> {
        let client = awc::Client::builder().timeout(Duration::from_secs(60)).disable_redirects().finish();
        let base = format!("http://{}", server.address());
        let fields = [("key", Server::operator_key()), ("next", "/dashboard")];
        let answer = client.post(format!("{base}/dashboard/login")).send_form(&fields).await?;
        let cookies = answer.headers().get_all(SET_COOKIE).filter_map(|cookie| cookie.to_str().ok());
        let pairs: Vec<&str> = cookies.filter_map(|cookie| cookie.split(';').next()).collect();
        if answer.status() != StatusCode::SEE_OTHER || pairs.is_empty() {
            return Err(format!("nobody could sign in: {}", answer.status()).into());
        }
        Ok(Self { cookie: pairs.join("; "), client, base })
    }

    /// A page, wherever it leads: what a replay would do is looked at until a fixed time.
    async fn page(&self, page: &str) -> Result<(), Box<dyn Error>> {
        let mut at = page.to_owned();
        for _ in 0..2 {
            let mut answer =
                self.client.get(format!("{}{at}", self.base)).insert_header((COOKIE, &*self.cookie)).send().await?;
            let whole = answer.body().limit(PAGE_BYTES_MAX).await?;
            match answer.status() {
                StatusCode::OK if !whole.is_empty() => return Ok(()),
                StatusCode::SEE_OTHER => {}
                status => return Err(format!("{page} was answered with {status}").into()),
            }
            let to = answer.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            at = to.ok_or_else(|| format!("{page} leads nowhere"))?.to_owned();
        }
        Err(format!("{page} leads on and on").into())
    }

    /// A page's address, with what is meant by its braces.
    async fn named(&self, page: &str) -> Result<String, Box<dyn Error>> {
        let Some((before, rest)) = page.split_once('{') else { return Ok(page.to_owned()) };
        let (what, after) = rest.split_once('}').ok_or("a brace is open")?;
        let (list, field) = match what {
            "partner" => ("/partners?limit=1", "name"),
            "endpoint" => ("/webhook?partner=*&limit=1", "id"),
            "event" => ("/events?partner=*&limit=1", "id"),
            "delivery" => ("/deliveries?partner=*&limit=1", "id"),
            other => return Err(format!("nothing here is called {other}").into()),
        };
        let authorization = (header::AUTHORIZATION, Server::authorization());
        let mut answer = self.client.get(format!("{}{list}", self.base)).insert_header(authorization).send().await?;
        let found: Value = serde_json::from_slice(&answer.body().await?)?;
        let id = found["data"][0][field].as_str().ok_or_else(|| format!("{list} has nothing"))?;
        Ok(format!("{before}{id}{after}"))
    }
}
