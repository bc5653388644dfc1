//! What the audit log says of a key or a link, whoever made, opened or revoked it.

use serde_json::json;

use crate::store::{AuditEntry, KeyRecord};

/// The entry, about this key: whose it is and what it is for. The prefix is what lists
/// know it by.
pub fn told_of_key(entry: AuditEntry, record: &KeyRecord) -> AuditEntry {
    let detail = json!({
        "role": record.role.as_str(),
        "prefix": record.prefix,
        "description": record.description,
        "expires_at": record.expires_at.map(|end| end.to_string()),
    });
    entry.belonging_to(record.environment, record.partner.clone()).about(record.id).with(detail)
}

/// The entry, about this link to the portal.
pub fn told_of_link(entry: AuditEntry, record: &KeyRecord) -> AuditEntry {
    let detail = json!({
        "description": record.description,
        "expires_at": record.expires_at.map(|end| end.to_string()),
        "single_use": record.link.is_some_and(|link| link.single_use),
    });
    entry.belonging_to(record.environment, record.partner.clone()).about(record.id).with(detail)
}
