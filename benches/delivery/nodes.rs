//! Several nodes on one store: how they are started until each has its share, and
//! what it costs that an event lands on a node which does not own the endpoint.

use std::error::Error;
use std::time::Duration;

use posthaste::domain::{EndpointId, PARTITIONS, Partition};
use tokio::time::{sleep, timeout};

use crate::audience::Audience;
use crate::measured::{Measured, Subject};
use crate::run::{Options, Stage, post};
use crate::scenario::{PARTNERS_OF_NODES, Shape};
use crate::server::{Server, ServerError, System};

/// What nodes may take until each has its share: several terms of a lease.
const EVEN_WITHIN: Duration = Duration::from_secs(60);
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// Endpoints that are made at most until the second node owns one: each of them
/// is as likely the first node's.
const MOST_TRIES: usize = 100;

/// Starts so many on the store of a stage and waits until they share it evenly.
pub async fn start(count: usize, options: &Options, stage: &Stage) -> Result<Vec<Server>, Box<dyn Error>> {
    let mut servers = Vec::new();
    for _ in 0..count {
        servers.push(Server::start_node(&options.installation, &stage.directory).await?);
    }
    let until_even = async {
        while !is_even(&servers[0].shares().await?, count) {
            sleep(ASK_AGAIN_AFTER).await;
        }
        Ok::<_, ServerError>(())
    };
    let waited = timeout(EVEN_WITHIN, until_even).await;
    waited.map_err(|_| format!("{count} nodes did not share the partitions evenly within {EVEN_WITHIN:?}"))??;
    Ok(servers)
}

/// Whether so many nodes own everything between them, and none more than it must.
fn is_even(shares: &[usize], count: usize) -> bool {
    let most = PARTITIONS.div_ceil(count);
    shares.len() == count && shares.iter().sum::<usize>() == PARTITIONS && shares.iter().all(|share| *share <= most)
}

/// Measures two nodes of which one is posted to and the other delivers.
pub async fn measure_foreign(
    scenario: &'static str,
    shape: &Shape,
    options: &Options,
) -> Result<Measured, Box<dyn Error>> {
    let audience = Audience::of_partners(PARTNERS_OF_NODES);
    let stage = Stage::for_load(options, shape, audience)?;
    let servers = start(2, options, &stage).await?;
    for partner in 0..audience.partners {
        let name = audience.name(partner);
        if let Some(name) = &name {
            servers[0].create_partner(name).await?;
        }
        subscribe_at(&servers[1], &servers[0], name.as_deref(), &stage.sink.url(partner), options, &stage).await?;
    }
    let subject = Subject { scenario, system: System::Posthaste, case: None };
    let measured = post(subject, servers, 1, stage, shape, options).await?;
    let [posted_to, owner] = measured.attempts_of_nodes[..] else { return Err("two nodes were not looked at".into()) };
    // It would be a figure of something else.
    if posted_to > 0 || owner < measured.deliveries {
        return Err(format!(
            "the node that was posted to made {posted_to} attempts and the other {owner}: partitions moved"
        )
        .into());
    }
    Ok(measured)
}

/// Makes an endpoint that one of the nodes owns, through the other one. Which
/// partition an endpoint falls into is drawn with its id, so that one of the wrong
/// node is deleted and made again.
async fn subscribe_at(
    owner: &Server,
    through: &Server,
    partner: Option<&str>,
    url: &str,
    options: &Options,
    stage: &Stage,
) -> Result<EndpointId, Box<dyn Error>> {
    for _ in 0..MOST_TRIES {
        let id = through.subscribe_with_id(partner, url).await?;
        let address = options.installation.store.owner_address(stage.directory.path(), Partition::of(id))?;
        if address == Some(format!("http://{}", owner.address())) {
            return Ok(id);
        }
        through.unsubscribe(partner, id).await?;
    }
    Err(format!("of {MOST_TRIES} endpoints, the node at {} owned none", owner.address()).into())
}
