//! Leases in PostgreSQL: rows that say who owns a partition until when, by the
//! database's clock. What locks what is explained beside the tables, in
//! `migrations/postgres`.
//!
//! Every verb is one transaction, so that it works behind a pooler that hands
//! out connections by transaction, and is bounded, so that nobody waits long
//! for a server that does not come to an end.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::result::Error;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, SmallInt, Text};

use crate::domain::{NodeId, PARTITIONS, Partition, Timestamp};
use crate::store::postgres::line::Line;
use crate::store::postgres::{PostgresOptions, translate};
use crate::store::rows::{count_of, parsed};
use crate::store::{Fence, Lease, Leases, NodeRecord, NodeReport, Owner, Renewed, StoreError};

/// How long one statement of a verb may take.
const BOUND: &str = "SET LOCAL statement_timeout = 1500";
/// Nodes that have not lived for so many terms are forgotten.
const FORGET_AFTER_TERMS: i64 = 9;

/// See the module.
pub struct PostgresLeases {
    options: PostgresOptions,
    line: Line,
}

#[derive(QueryableByName)]
struct LeaseRow {
    #[diesel(sql_type = SmallInt)]
    partition: i16,
    #[diesel(sql_type = BigInt)]
    epoch: i64,
    #[diesel(sql_type = BigInt)]
    token: i64,
}

#[derive(QueryableByName)]
struct OwnerRow {
    #[diesel(sql_type = SmallInt)]
    partition: i16,
    #[diesel(sql_type = Text)]
    owner: String,
    #[diesel(sql_type = Nullable<Text>)]
    address: Option<String>,
}

#[derive(QueryableByName)]
struct NodeRow {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Nullable<Text>)]
    address: Option<String>,
    #[diesel(sql_type = Text)]
    version: String,
    #[diesel(sql_type = BigInt)]
    in_flight: i64,
    #[diesel(sql_type = BigInt)]
    partitions: i64,
    #[diesel(sql_type = BigInt)]
    lease_until: i64,
    #[diesel(sql_type = Bool)]
    is_held: bool,
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = Text)]
    id: String,
}

#[derive(QueryableByName)]
struct PartitionRow {
    #[diesel(sql_type = SmallInt)]
    partition: i16,
}

#[derive(QueryableByName)]
struct NowRow {
    #[diesel(sql_type = BigInt)]
    now: i64,
}

impl PostgresLeases {
    /// Connects when it is first asked for something.
    pub fn new(options: &PostgresOptions) -> Self {
        Self { options: options.clone(), line: Line::new(options) }
    }
}

impl Leases for PostgresLeases {
    fn now(&self) -> Result<Timestamp, StoreError> {
        self.line.ask(bounded(|_, now| Ok(Timestamp::from_millis(now))))
    }

    fn renew(&self, node: &NodeReport, held: &[Lease], term: Duration) -> Result<Renewed, StoreError> {
        let (node, tokens, term) = (node.clone(), tokens(held), millis(term));
        self.line.ask(bounded(move |connection, now| {
            report(connection, &node, now, term)?;
            let kept = if tokens.is_empty() { Vec::new() } else { extend(connection, node.id, tokens, now + term)? };
            // Whoever is at the same forgets the others; waiting for each other
            // here could go round in a circle.
            sql_query(
                "DELETE FROM nodes WHERE id IN (SELECT id FROM nodes WHERE live_until < $1 FOR UPDATE SKIP LOCKED)",
            )
            .bind::<BigInt, _>(now - FORGET_AFTER_TERMS * term)
            .execute(connection)?;
            Ok(Renewed {
                now: Timestamp::from_millis(now),
                kept,
                nodes: counted_on(connection, now)?,
                owners: owners(connection, now)?,
            })
        }))
    }

    fn acquire(&self, node: NodeId, most: usize, term: Duration) -> Result<Vec<Lease>, StoreError> {
        if most == 0 {
            return Ok(Vec::new());
        }
        let (most, term) = (i64::try_from(most).unwrap_or(i64::MAX), millis(term));
        self.line.ask(bounded(move |connection, now| take(connection, node, most, now, now + term)))
    }

    fn release(&self, leases: &[Lease]) -> Result<(), StoreError> {
        let tokens = tokens(leases);
        self.line.ask(bounded(move |connection, _| {
            // The token stays: no write that names it can hurt anyone before the
            // next owner has drawn another.
            sql_query("UPDATE leases SET owner = NULL, lease_until = 0 WHERE token = ANY($1)")
                .bind::<Array<BigInt>, _>(tokens)
                .execute(connection)?;
            Ok(())
        }))
    }

    fn leave(&self, node: NodeId) -> Result<(), StoreError> {
        let id = node.to_string();
        self.line.ask(bounded(move |connection, _| {
            sql_query("UPDATE leases SET owner = NULL, lease_until = 0 WHERE owner = $1")
                .bind::<Text, _>(&id)
                .execute(connection)?;
            sql_query("DELETE FROM nodes WHERE id = $1").bind::<Text, _>(&id).execute(connection)?;
            Ok(())
        }))
    }

    /// On a connection for this once: people look, and what keeps the leases is
    /// not to wait for them.
    fn nodes(&self) -> Result<Vec<NodeRecord>, StoreError> {
        let line = Line::new(&self.options);
        line.ask(bounded(|connection, now| {
            let found: Vec<NodeRow> = sql_query(
                "SELECT id, address, version, in_flight, is_held, count(partition) AS partitions, \
                 coalesce(min(lease_until), live_until) AS lease_until \
                 FROM nodes LEFT JOIN leases ON owner = id AND lease_until > $1 \
                 WHERE live_until > $1 GROUP BY id ORDER BY id",
            )
            .bind::<BigInt, _>(now)
            .load(connection)?;
            found.into_iter().map(|row| row.record().map_err(VerbError::from)).collect()
        }))
    }

    /// On a connection for this once, as `nodes`.
    fn owners(&self) -> Result<Vec<Option<NodeId>>, StoreError> {
        let line = Line::new(&self.options);
        line.ask(bounded(|connection, now| {
            let owners = owners(connection, now)?;
            Ok(owners.into_iter().map(|owner| owner.map(|owner| owner.node)).collect())
        }))
    }
}

impl NodeRow {
    fn record(self) -> Result<NodeRecord, StoreError> {
        Ok(NodeRecord {
            id: parsed(&self.id)?,
            address: self.address,
            version: self.version,
            partitions: count_of(self.partitions)? as usize,
            in_flight: count_of(self.in_flight)?,
            is_held: self.is_held,
            lease_until: Some(Timestamp::from_millis(self.lease_until)),
        })
    }
}

/// Lets diesel end a transaction with an error of ours.
struct VerbError(StoreError);

impl From<Error> for VerbError {
    fn from(error: Error) -> Self {
        Self(translate(error))
    }
}

impl From<StoreError> for VerbError {
    fn from(error: StoreError) -> Self {
        Self(error)
    }
}

/// One transaction; the verb is told the database's time, read once: what it
/// grants is reckoned from before it waited for anything.
fn bounded<T>(
    verb: impl FnOnce(&mut PgConnection, i64) -> Result<T, VerbError> + Send + 'static,
) -> impl FnOnce(&mut PgConnection) -> Result<T, StoreError> + Send + 'static {
    move |connection| {
        let done = connection.transaction(|connection| {
            connection.batch_execute(BOUND)?;
            let NowRow { now } = sql_query("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::BIGINT AS now")
                .get_result(connection)?;
            verb(connection, now)
        });
        done.map_err(|VerbError(error)| error)
    }
}

fn report(connection: &mut PgConnection, node: &NodeReport, now: i64, term: i64) -> Result<(), VerbError> {
    sql_query(
        "INSERT INTO nodes (id, address, version, in_flight, seen_at, live_until, is_leaving, is_held) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
         ON CONFLICT (id) DO UPDATE SET address = $2, version = $3, in_flight = $4, seen_at = $5, \
         live_until = $6, is_leaving = $7, is_held = $8",
    )
    .bind::<Text, _>(node.id.to_string())
    .bind::<Nullable<Text>, _>(&node.address)
    .bind::<Text, _>(&node.version)
    .bind::<BigInt, _>(i64::from(node.in_flight))
    .bind::<BigInt, _>(now)
    .bind::<BigInt, _>(now + term)
    .bind::<Bool, _>(node.is_leaving)
    .bind::<Bool, _>(node.is_held)
    .execute(connection)?;
    Ok(())
}

/// Takes what is free, in no order, so that nodes that look at the same time do
/// not all want the same. What a transaction of the last owner still holds is
/// left for the next time.
fn take(connection: &mut PgConnection, node: NodeId, most: i64, now: i64, until: i64) -> Result<Vec<Lease>, VerbError> {
    let free: Vec<PartitionRow> = sql_query(
        "SELECT partition FROM leases WHERE owner IS NULL OR lease_until <= $1 \
         ORDER BY random() LIMIT $2 FOR UPDATE SKIP LOCKED",
    )
    .bind::<BigInt, _>(now)
    .bind::<BigInt, _>(most)
    .load(connection)?;
    if free.is_empty() {
        return Ok(Vec::new());
    }
    let free: Vec<i16> = free.into_iter().map(|row| row.partition).collect();
    let tokens = free.iter().map(|_| draw()).collect::<Result<Vec<i64>, StoreError>>()?;
    let taken: Vec<LeaseRow> = sql_query(
        "UPDATE leases SET owner = $1, epoch = epoch + 1, token = drawn.token, lease_until = $2 \
         FROM UNNEST($3, $4) AS drawn (partition, token) WHERE leases.partition = drawn.partition \
         RETURNING leases.partition, leases.epoch, leases.token",
    )
    .bind::<Text, _>(node.to_string())
    .bind::<BigInt, _>(until)
    .bind::<Array<SmallInt>, _>(free)
    .bind::<Array<BigInt>, _>(tokens)
    .load(connection)?;
    leases(taken)
}

/// Those that still are this node's, expired or not: as long as the token stands,
/// nobody else had them in between.
fn extend(connection: &mut PgConnection, node: NodeId, tokens: Vec<i64>, until: i64) -> Result<Vec<Lease>, VerbError> {
    let kept: Vec<LeaseRow> = sql_query(
        "UPDATE leases SET lease_until = $1 WHERE token = ANY($2) AND owner = $3 \
         RETURNING partition, epoch, token",
    )
    .bind::<BigInt, _>(until)
    .bind::<Array<BigInt>, _>(tokens)
    .bind::<Text, _>(node.to_string())
    .load(connection)?;
    leases(kept)
}

fn counted_on(connection: &mut PgConnection, now: i64) -> Result<Vec<NodeId>, VerbError> {
    let found: Vec<IdRow> = sql_query("SELECT id FROM nodes WHERE live_until > $1 AND NOT is_leaving ORDER BY id")
        .bind::<BigInt, _>(now)
        .load(connection)?;
    Ok(found.iter().map(|row| parsed(&row.id)).collect::<Result<_, _>>()?)
}

fn owners(connection: &mut PgConnection, now: i64) -> Result<Vec<Option<Owner>>, VerbError> {
    let found: Vec<OwnerRow> = sql_query(
        "SELECT partition, owner, address FROM leases LEFT JOIN nodes ON id = owner \
         WHERE owner IS NOT NULL AND lease_until > $1",
    )
    .bind::<BigInt, _>(now)
    .load(connection)?;
    let mut owners = vec![None; PARTITIONS];
    for row in found {
        owners[partition(row.partition)?.index()] = Some(Owner { node: parsed(&row.owner)?, address: row.address });
    }
    Ok(owners)
}

fn leases(rows: Vec<LeaseRow>) -> Result<Vec<Lease>, VerbError> {
    let lease = |row: LeaseRow| {
        Ok(Lease { partition: partition(row.partition)?, epoch: row.epoch, fence: Some(Fence(row.token)) })
    };
    rows.into_iter().map(lease).collect()
}

fn partition(number: i16) -> Result<Partition, StoreError> {
    u8::try_from(number).map(Partition::numbered).map_err(|_| StoreError::Corrupt(format!("partition {number}")))
}

fn tokens(leases: &[Lease]) -> Vec<i64> {
    leases.iter().filter_map(|lease| lease.fence).map(|Fence(token)| token).collect()
}

/// A token that nobody can have met before: 63 random bits, as positive.
fn draw() -> Result<i64, StoreError> {
    let random = getrandom::u64()
        .map_err(|error| StoreError::Unavailable(format!("the system has no randomness for a token: {error}")))?;
    Ok(i64::try_from(random >> 1).unwrap_or(i64::MAX).max(1))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_positive_and_drawn_anew() {
        let drawn: std::collections::HashSet<i64> = (0..1_000).map(|_| draw().expect("randomness")).collect();
        assert!(drawn.len() == 1_000 && drawn.iter().all(|token| *token > 0));
    }
}
