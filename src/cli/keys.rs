//! `posthaste keys`: makes, lists and revokes API keys in a store that no node
//! has open. Beside a running node, `POST /keys` does the same.

use std::error::Error;
use std::sync::Arc;

use clap::{Args, Subcommand};
use tokio::sync::oneshot;

use crate::auth::{ApiKey, told_of_key, told_of_link};
use crate::catalog;
use crate::clock::Clock;
use crate::config::{Config, OptionArgs, StoreLocation};
use crate::domain::{Actor, AuditAction, Environment, KeyId, PartnerName, Role, Timestamp};
use crate::metrics::Metrics;
use crate::store::journal::JournalOptions;
use crate::store::sqlite::SqliteStore;
use crate::store::{AuditEntry, Journal, KeyRecord, NewKey, PageRequest, Store};

/// Keys read at once when all are listed.
const PAGE: usize = 250;

/// What `keys` is told.
#[derive(Args)]
pub struct KeysArgs {
    /// What to do with them.
    #[command(subcommand)]
    pub command: KeysCommand,
    /// Where the store is; the options of a node.
    #[command(flatten)]
    pub options: OptionArgs,
}

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key and print it, this once.
    Create {
        /// What it may do: partner, producer or operator.
        #[arg(long)]
        role: Role,
        /// The partner it is bound to.
        #[arg(long, required_if_eq("role", "partner"))]
        partner: Option<PartnerName>,
        /// The environment it belongs to (not for operators); production by default.
        #[arg(long)]
        environment: Option<Environment>,
        /// A note to know it by.
        #[arg(long)]
        description: Option<String>,
        /// When it ends by itself, e.g. 2027-01-31T00:00:00Z.
        #[arg(long)]
        expires_at: Option<Timestamp>,
    },
    /// List all keys, newest first, without the keys themselves.
    List,
    /// Make a key, or a link to the portal, useless.
    Revoke {
        /// The key's id, `key_…`.
        id: KeyId,
    },
}

/// Does it.
pub fn run(arguments: KeysArgs) -> Result<(), Box<dyn Error>> {
    let config = Config::load(arguments.options)?;
    let clock = Clock::system();
    let StoreLocation::Sqlite(path) = &config.store.location else {
        return Err("nodes on PostgreSQL make keys by their API: `POST /keys`, `GET /keys`, `DELETE /keys/{id}`".into());
    };
    let store = SqliteStore::open_with(path, 1, &config.store.keys).map_err(|error| {
        format!("{error}\nbeside a running node use its API: `POST /keys`, `GET /keys`, `DELETE /keys/{{id}}`")
    })?;
    let (failed, _) = oneshot::channel();
    let options = JournalOptions { queue: 1, queue_bytes: 0, batch: 1 };
    let metrics = Arc::new(Metrics::default());
    let (journal, thread) = Journal::start(store.writer()?, options, clock.clone(), metrics, Box::new(|_| ()), failed)?;
    let done = actix_rt::System::new().block_on(carry_out(arguments.command, &store, &journal, clock.wall()));
    thread.finish();
    done
}

async fn carry_out(
    command: KeysCommand,
    store: &SqliteStore,
    journal: &Journal,
    now: Timestamp,
) -> Result<(), Box<dyn Error>> {
    match command {
        KeysCommand::Create { role, partner, environment, description, expires_at } => {
            if role == Role::Operator && (partner.is_some() || environment.is_some()) {
                return Err("an operator's key serves all partners and both environments: leave those out".into());
            }
            if expires_at.is_some_and(|end| end <= now) {
                return Err("the time to expire at is past".into());
            }
            let shipped = catalog::shipped();
            let partner_made = AuditEntry::new(Actor::Command, AuditAction::PartnerCreated)
                .belonging_to(None, Some(PartnerName::default_partner()))
                .about(PartnerName::default_partner());
            let first_start = journal.change(move |transaction| {
                if transaction.first_start(&shipped)? {
                    transaction.audit(&partner_made);
                }
                Ok(())
            });
            first_start.await?;
            if let Some(name) = &partner
                && store.partner(name)?.is_none()
            {
                return Err(format!("there is no partner `{name}`").into());
            }
            let environment =
                if role == Role::Operator { None } else { Some(environment.unwrap_or(Environment::Production)) };
            let key = ApiKey::generate().map_err(|error| format!("the system has no randomness: {error}"))?;
            let new = NewKey {
                hash: key.hash(),
                prefix: key.prefix().to_owned(),
                role,
                environment,
                partner,
                description,
                expires_at,
            };
            let entry = AuditEntry::new(Actor::Command, AuditAction::KeyCreated);
            let made = journal.change(move |transaction| {
                let made = transaction.create_key(&new)?;
                transaction.audit(&told_of_key(entry.clone(), &made));
                Ok(made)
            });
            let record = made.await?;
            eprintln!("{} was made; this is the key, shown once:", record.id);
            println!("{}", key.reveal());
        }
        KeysCommand::List => {
            let mut page = PageRequest { after: None, limit: PAGE };
            loop {
                let found = store.keys(&page)?;
                for record in &found.items {
                    println!("{}", line(record, now));
                }
                match found.items.last().filter(|_| found.more) {
                    Some(last) => page.after = Some(last.id),
                    None => break,
                }
            }
        }
        KeysCommand::Revoke { id } => {
            let none = || format!("there is no key {id} that still opens anything");
            let record = store.key(id)?.ok_or_else(none)?;
            let entry = match record.link {
                None => told_of_key(AuditEntry::new(Actor::Command, AuditAction::KeyRevoked), &record),
                Some(_) => told_of_link(AuditEntry::new(Actor::Command, AuditAction::PortalLinkRevoked), &record),
            };
            let revoked = journal.change(move |transaction| {
                let revoked = transaction.revoke_key(id)?;
                if revoked {
                    transaction.audit(&entry);
                }
                Ok(revoked)
            });
            if !revoked.await? {
                return Err(none().into());
            }
            println!("{id} opens nothing any more");
        }
    }
    Ok(())
}

fn line(record: &KeyRecord, now: Timestamp) -> String {
    let state = match (record.revoked_at, record.expires_at) {
        (Some(at), _) => format!("revoked {at}"),
        (None, Some(at)) if at <= now => format!("expired {at}"),
        (None, Some(at)) => format!("live until {at}"),
        (None, None) => "live".to_owned(),
    };
    let used = record.last_used_at.map_or("never used".to_owned(), |at| format!("used {at}"));
    format!(
        "{}  {}…  {:<8}  {:<10}  {:<16}  {state}  {used}  {}",
        record.id,
        record.prefix,
        record.role.as_str(),
        record.environment.map_or("both", Environment::as_str),
        record.partner.as_ref().map_or("*", PartnerName::as_str),
        record.description.as_deref().unwrap_or_default(),
    )
}
