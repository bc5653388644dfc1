//! What a store holds before its server starts, written by the library itself:
//! the very rows that the server would have written, only in larger commits.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use posthaste::catalog;
use posthaste::clock::Clock;
use posthaste::domain::{DeliveryId, EndpointSettings, Environment, PartnerName, Timestamp};
use posthaste::policy::signature::SigningSecret;
use posthaste::store::{
    Accept, CommitError, EndpointConflict, NewEndpoint, NewEvent, Notice, Record, Scope, Store, StoreError,
    Subscriptions, Writer,
};

use crate::audience::Audience;
use crate::directory::Directory;
use crate::event::{EVENT_TYPE, Template};
use crate::stores::Backend;

/// Rows that go into one commit, more or less.
pub const COMMIT: usize = 5_000;
/// What an endpoint wants that is to get nothing: a shipped type that is not posted.
pub const IDLE_TYPE: &str = "campaign.created";

/// A store that is being filled. It is closed when this is dropped.
pub struct Seed {
    store: Arc<dyn Store>,
    writer: Box<dyn Writer>,
    template: Template,
}

/// Why a store could not be filled.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error("the journal cannot be started: {0}")]
    Journal(#[from] std::io::Error),
    #[error("an endpoint cannot be made: {0:?}")]
    Endpoint(EndpointConflict),
    #[error("there is no partner `{0}`")]
    Partner(PartnerName),
    #[error("{made} deliveries were made for {wanted} events")]
    Deliveries { made: usize, wanted: usize },
}

impl Seed {
    /// Makes a store as a first start does.
    pub fn open(backend: &dyn Backend, directory: &Path, now: Timestamp) -> Result<Self, SeedError> {
        let store = backend.open(directory)?;
        let writer = store.writer()?;
        let mut seed = Self { store, writer, template: Template::new() };
        let types = catalog::shipped();
        seed.writer.commit(now, &mut |transaction| transaction.first_start(&types).map(drop))?;
        Ok(seed)
    }

    /// Makes the partners that the audience has beside the store's own.
    pub fn partners(&mut self, audience: Audience, now: Timestamp) -> Result<(), SeedError> {
        let names: Vec<PartnerName> =
            (0..audience.partners).filter_map(|partner| audience.name(partner)).map(parsed).collect();
        for names in names.chunks(COMMIT) {
            self.writer.commit(now, &mut |transaction| {
                names.iter().try_for_each(|name| transaction.create_partner(name).map(drop))
            })?;
        }
        Ok(())
    }

    /// Makes all endpoints of an audience, each at the URL of its number.
    pub fn endpoints(
        &mut self,
        audience: Audience,
        url: impl Fn(usize) -> String,
        event_type: &str,
        now: Timestamp,
    ) -> Result<(), SeedError> {
        let secret = SigningSecret::from_key(&[7; 32]).expect("32 bytes are a key").reveal();
        let numbers: Vec<usize> = (0..audience.endpoints()).collect();
        for numbers in numbers.chunks(COMMIT) {
            let mut conflict = None;
            self.writer.commit(now, &mut |transaction| {
                for number in numbers {
                    let made = transaction.create_endpoint(&NewEndpoint {
                        scope: scope(audience, number / audience.fan_out),
                        settings: EndpointSettings::new(url(*number), vec![parsed(event_type)]),
                        secret: secret.clone(),
                        most_endpoints: usize::MAX >> 1,
                    })?;
                    conflict = conflict.or(made.err());
                }
                Ok(())
            })?;
            if let Some(conflict) = conflict {
                return Err(SeedError::Endpoint(conflict));
            }
        }
        Ok(())
    }

    /// What each partner's events are matched against.
    pub fn subscriptions(&self, audience: Audience) -> Result<Vec<Arc<Subscriptions>>, SeedError> {
        let of_partner = |partner| {
            let found = self.store.subscriptions(&scope(audience, partner))?;
            found.map(Arc::new).ok_or_else(|| SeedError::Partner(partner_name(audience, partner)))
        };
        (0..audience.partners).map(of_partner).collect()
    }

    /// Accepts the events of these numbers in one commit, each from its partner,
    /// and answers their deliveries in order.
    pub fn accept(
        &mut self,
        subscriptions: &[Arc<Subscriptions>],
        sequences: std::ops::Range<usize>,
        now: Timestamp,
    ) -> Result<Vec<DeliveryId>, SeedError> {
        let wanted = sequences.len();
        let accepts: Vec<Accept> = sequences
            .map(|sequence| Accept {
                subscriptions: Arc::clone(&subscriptions[sequence % subscriptions.len()]),
                events: vec![NewEvent::new(parsed(EVENT_TYPE), self.template.event(sequence))],
                idempotency: None,
                relied_on: None,
            })
            .collect();
        let accepts: Vec<&Accept> = accepts.iter().collect();
        let notices = self.writer.commit(now, &mut |transaction| transaction.accept(&accepts).map(drop))?;
        let born: Vec<DeliveryId> = notices
            .into_iter()
            .filter_map(|notice| match notice {
                Notice::Born(birth) => Some(birth.delivery),
                _ => None,
            })
            .collect();
        // Every partner's endpoints want everything, or the store is not what the
        // scenario says.
        if born.len() < wanted { Err(SeedError::Deliveries { made: born.len(), wanted }) } else { Ok(born) }
    }

    /// Writes outcomes down in one commit.
    pub fn record(&mut self, records: &[Record], now: Timestamp) -> Result<(), SeedError> {
        let records: Vec<&Record> = records.iter().collect();
        self.writer.commit(now, &mut |transaction| transaction.record(&records).map(drop))?;
        Ok(())
    }
}

/// Where a partner's things are.
pub fn scope(audience: Audience, partner: usize) -> Scope {
    Scope::of(Environment::Production, partner_name(audience, partner))
}

fn partner_name(audience: Audience, partner: usize) -> PartnerName {
    audience.name(partner).map_or_else(PartnerName::default_partner, parsed)
}

/// Texts of the benchmark's own.
fn parsed<T: std::str::FromStr>(text: impl AsRef<str>) -> T {
    text.as_ref().parse().ok().expect("the benchmark's names and types are well formed")
}

/// Fills a directory without keeping the benchmark from being stopped.
pub async fn in_background<F>(directory: &Directory, fill: F) -> Result<(), Box<dyn Error>>
where
    F: FnOnce(&Path) -> Result<(), Box<dyn Error + Send + Sync>> + Send + 'static,
{
    let path = directory.path().to_owned();
    let clock = Clock::system();
    let filled: Result<(), Box<dyn Error + Send + Sync>> = tokio::task::spawn_blocking(move || fill(&path)).await?;
    filled.map_err(|error| -> Box<dyn Error> { error })?;
    eprintln!("  filled in {:.1} s", clock.now().monotonic.since_start().as_secs_f64());
    Ok(())
}
