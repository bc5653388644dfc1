//! What of every table is a partner's, in one place: erasing a partner goes down this
//! list, and a test compares it with the tables that there are. Whoever adds a table adds
//! a line.

/// What a row belongs to, and so whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Belongs {
    /// To a partner in an environment: the column has the scope's number.
    Scope,
    /// To an endpoint.
    Endpoint,
    /// To an event. Its deliveries are its own, but for those that somebody else hears of.
    Event,
    /// To a delivery.
    Delivery,
    /// To a partner in both environments: the column has the partner's number.
    Partner,
}

/// A table with something of partners in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erasable {
    /// Its name.
    pub table: &'static str,
    /// The column that says whose a row is.
    pub column: &'static str,
    /// And how.
    pub belongs: Belongs,
    /// The columns that tell its rows apart.
    pub key: &'static str,
    /// What is true of every row, and what the index begins with that leads to the column.
    pub found_by: &'static str,
}

const fn erasable(table: &'static str, column: &'static str, belongs: Belongs, key: &'static str) -> Erasable {
    Erasable { table, column, belongs, key, found_by: "1 = 1" }
}

/// Every such table but those of `deliveries`, `events`, `endpoints` and `partners` themselves, in
/// which others are found by these, and which go last. Of one kind they go in this order.
pub const ERASABLE: &[Erasable] = &[
    erasable("attempts", "delivery", Belongs::Delivery, "delivery, number"),
    erasable("manual_attempts", "delivery", Belongs::Delivery, "delivery"),
    erasable("endpoint_versions", "endpoint", Belongs::Endpoint, "endpoint, version"),
    erasable("endpoint_secrets", "endpoint", Belongs::Endpoint, "endpoint, number"),
    erasable("endpoint_health", "endpoint", Belongs::Endpoint, "endpoint"),
    erasable("endpoint_orders", "endpoint", Belongs::Endpoint, "endpoint"),
    erasable("endpoint_numbers", "endpoint", Belongs::Endpoint, "endpoint, last"),
    erasable("replay_targets", "endpoint", Belongs::Endpoint, "replay, endpoint"),
    erasable("replays", "scope", Belongs::Scope, "id"),
    Erasable {
        found_by: "resolution IN (0, 1)",
        ..erasable("statistics", "scope", Belongs::Scope, "resolution, scope, endpoint, bucket, event_type, writer")
    },
    erasable("idempotency_keys", "scope", Belongs::Scope, "scope, key"),
    erasable("retention_left", "scope", Belongs::Scope, "scope, event"),
    erasable("retention_walks", "scope", Belongs::Scope, "scope, kept"),
    erasable("retentions", "scope", Belongs::Scope, "scope"),
    erasable("brakes", "scope", Belongs::Scope, "scope"),
    erasable("scopes", "id", Belongs::Scope, "id"),
    erasable("api_keys", "partner", Belongs::Partner, "id"),
];

/// The tables by which the others are found, and how their rows belong to a partner. What
/// is `deliveries` on one store is `pending` and `finished` on the other.
pub const ROOTS: &[(&str, &str, Belongs)] = &[
    ("deliveries", "endpoint", Belongs::Endpoint),
    ("pending", "endpoint", Belongs::Endpoint),
    ("finished", "endpoint", Belongs::Endpoint),
    ("events", "scope", Belongs::Scope),
    ("endpoints", "scope", Belongs::Scope),
    ("partners", "id", Belongs::Partner),
];

/// Tables with nothing of partners, or with what stays, and why.
pub const KEPT: &[(&str, &str)] = &[
    ("__diesel_schema_migrations", "which tables there are"),
    ("audit_head", "where the audit log ends"),
    ("audit_log", "it is only added to, and says who erased the partner"),
    ("event_types", "an environment's"),
    ("interests", "lists of event types, shared by all who have the same"),
    ("leases", "of partitions"),
    ("meta", "the store's own"),
    ("nodes", "of the cluster"),
    ("search_entries", "keyed hashes of what events were found by; they go with their segment"),
    ("search_layouts", "lists of indexed fields, an environment's"),
    ("search_segments", "ranges of keys"),
    ("unsealed", "ranges of keys that are being written, or undone"),
    ("versions", "counters"),
];
