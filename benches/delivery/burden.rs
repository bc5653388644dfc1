//! A load without and with something that should not matter: endpoints that want
//! nothing, deliveries of long ago, neighbours that hang, another node. Each measurement has a
//! store of its own; only the server is measured, and against itself.

use std::error::Error;
use std::time::Duration;

use posthaste::clock::Clock;

use crate::audience::Audience;
use crate::event::EVENT_TYPE;
use crate::history;
use crate::measured::{Measured, Subject};
use crate::nodes;
use crate::run::{Options, Stage, post};
use crate::scenario::{Burden, PARTNERS_OF_NODES, Shape};
use crate::seed::{IDLE_TYPE, Seed, in_background};
use crate::server::{Server, System};
use crate::stores::Copies;

/// Endpoints of each partner, one of them active: one per cent.
const ENDPOINTS_OF_PARTNER: usize = 100;
/// What the URLs of idle endpoints are known by.
const IDLE_MARK: &str = "/idle/";
/// When they were all made.
const AGE: Duration = Duration::from_secs(24 * 3_600);

/// Measures one of the two cases.
pub async fn measure(
    scenario: &'static str,
    shape: &Shape,
    burden: Burden,
    burdened: bool,
    options: &Options,
) -> Result<Measured, Box<dyn Error>> {
    let audience = audience(burden, shape, options);
    let stage = Stage::for_load(options, shape, audience)?;
    match burden {
        Burden::IdleEndpoints => register(&stage, audience, burdened, options).await?,
        Burden::History if burdened => history::write(&stage.directory, options).await?,
        Burden::History | Burden::Hanging | Burden::SecondNode => {}
    }
    let servers = match burden {
        Burden::SecondNode => nodes::start(if burdened { 2 } else { 1 }, options, &stage).await?,
        _ => vec![Server::start(&options.installation, &stage.directory).await?],
    };
    // The endpoints of the first were made before its server was started.
    let to_make = if burden == Burden::IdleEndpoints { 0 } else { audience.partners };
    for partner in 0..to_make {
        let url = match partner.checked_sub(audience.counted) {
            Some(number) if burden == Burden::Hanging && burdened => {
                if number % 2 == 0 {
                    stage.sink.hanging_url(partner)
                } else {
                    refusing_url(partner)
                }
            }
            _ => stage.sink.url(partner),
        };
        let name = audience.name(partner);
        if let Some(name) = &name {
            servers[0].create_partner(name).await?;
        }
        servers[0].subscribe(name.as_deref(), &url).await?;
    }
    let case = Some(burden.cases()[usize::from(burdened)]);
    let posted_to = servers.len();
    post(Subject { scenario, system: System::Posthaste, case }, servers, posted_to, stage, shape, options).await
}

/// Where nobody listens.
fn refusing_url(endpoint: usize) -> String {
    format!("http://127.0.0.1:9/{endpoint}")
}

fn audience(burden: Burden, shape: &Shape, options: &Options) -> Audience {
    match burden {
        Burden::IdleEndpoints => Audience::of_partners(options.sizes.registered.div_ceil(ENDPOINTS_OF_PARTNER)),
        Burden::History => Audience::of_default_partner(shape.endpoints),
        Burden::SecondNode => Audience::of_partners(PARTNERS_OF_NODES),
        Burden::Hanging => {
            let serving = options.sizes.serving;
            // The same ones are looked at when all of them answer.
            Audience { counted: serving - 2 * (serving / 5), ..Audience::of_partners(serving) }
        }
    }
}

/// Makes the active endpoints, and if asked to, the idle ones: one of each
/// partner by the library, and the others after it.
async fn register(stage: &Stage, audience: Audience, with_idle: bool, options: &Options) -> Result<(), Box<dyn Error>> {
    let store = options.installation.store;
    let active_urls: Vec<String> = (0..audience.endpoints()).map(|number| stage.sink.url(number)).collect();
    let now = Clock::system().wall() - AGE;
    in_background(&stage.directory, move |directory| {
        let mut seed = Seed::open(store, directory, now)?;
        seed.partners(audience, now)?;
        seed.endpoints(audience, |number| active_urls[number].clone(), EVENT_TYPE, now)?;
        if !with_idle {
            return Ok(());
        }
        eprintln!("  registering {} idle endpoints", audience.partners * (ENDPOINTS_OF_PARTNER - 1));
        let idle_url = |number| format!("http://127.0.0.1:9{IDLE_MARK}{number}");
        seed.endpoints(audience, idle_url, IDLE_TYPE, now + Duration::from_millis(1))?;
        drop(seed);
        let copies = Copies { count: ENDPOINTS_OF_PARTNER - 2, later_ms: 1 };
        Ok(store.repeat_endpoints(directory, IDLE_MARK, copies)?)
    })
    .await
}
