//! The audit log: who changed what, and whether the log is whole.

use std::collections::{BTreeSet, HashMap, HashSet};

use actix_web::HttpResponse;
use futures_util::future::join_all;
use maud::{Markup, html};
use serde_json::Value;

use crate::auth::Permission;
use crate::dashboard::frame::{self, Page};
use crate::dashboard::icons;
use crate::dashboard::inside::Trouble;
use crate::dashboard::pages::{filters, head, nothing, segment};
use crate::dashboard::payload::pretty;
use crate::dashboard::visitor::{About, Posted, ROOT, Visitor};
use crate::dashboard::wire::{AuditEntry, AuditVerdict, Key, List};
use crate::dashboard::words;
use crate::domain::{Actor, AuditAction, Role};

const FILTERS: [&str; 6] = ["actor", "key", "action", "subject", "since", "until"];
/// Changed settings that are told in a row; of more the whole is a click away.
const TOLD: usize = 4;
/// Keys of a page of which it is asked whether they are links.
const LOOKED_FOR: usize = 8;
/// Characters of a value that are told.
const VALUE: usize = 60;

/// The list.
pub async fn list(visitor: Visitor) -> HttpResponse {
    visitor.answer(build(&visitor).await)
}

async fn build(visitor: &Visitor) -> Result<Page, Trouble> {
    let asked: Vec<(&str, &str)> =
        FILTERS.iter().chain(&["cursor"]).filter_map(|name| Some((*name, visitor.query.filled(name)?))).collect();
    // Without a partner an operator sees everything: both environments, and what is nobody's.
    let about = if visitor.is_operator() && visitor.partner().is_none() { About::Nobody } else { About::These };
    let typed: Vec<(&str, String)> = asked
        .iter()
        .map(|(name, value)| match *name {
            "since" | "until" => (*name, filters::time(value, visitor.now)),
            name => (name, (*value).to_owned()),
        })
        .collect();
    let typed: Vec<(&str, &str)> = typed.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let unread = filters::times_unread(visitor);
    let found: Result<List<AuditEntry>, Trouble> = match unread {
        Some(_) => Ok(List { data: Vec::new(), next_cursor: None }),
        None => visitor.get("/audit", about, &typed).await,
    };
    // Whoever may not look at it gets no page of it.
    if let Err(trouble) = &found
        && matches!(trouble.status, 401 | 403)
    {
        return Err(trouble.clone());
    }
    let in_use: Vec<(&str, &str)> = asked.iter().copied().filter(|(name, _)| *name != "cursor").collect();
    let body = html! {
        (head("Audit", html! {
            @if visitor.may(Permission::Operate) { (frame::action(visitor, &visitor.to("/audit/verify", &[]), "Check the chain")) }
        }))
        (filtering(visitor))
        (chips(visitor, &in_use))
        @match &found {
            _ if unread.is_some() => (unread.unwrap_or_default()),
            Ok(found) if found.data.is_empty() => {
                div.list { (nothing(!in_use.is_empty(), &visitor.to("/audit", &[]), &html! { p { "Nothing was changed yet." } })) }
            }
            Ok(found) => {
                (table(visitor, &found.data).await)
                (frame::next(visitor, "/audit", &asked, found.next_cursor.as_deref()))
            }
            Err(trouble) => (crate::dashboard::answers::part(trouble)),
        }
        (frame::as_call(visitor, "/audit", about, &typed))
    };
    let page = Page::new("Audit", body);
    Ok(if matches!(about, About::Nobody) { page.about_all() } else { page })
}

fn filtering(visitor: &Visitor) -> Markup {
    let asked = |name: &str| visitor.query.get(name).unwrap_or_default();
    let offered = AuditAction::ALL.iter().filter(|action| visitor.is_operator() || is_partners(**action));
    html! {
        form.filters action={ (ROOT) "/audit" } {
            (frame::carried(visitor))
            @if visitor.is_operator() {
                label { span.small.muted { "Who" } (choice("actor", asked("actor"), "anybody", Actor::ALL.iter().map(|actor| (actor.as_str(), actor.as_str())))) }
            }
            label { span.small.muted { "What" } (choice("action", asked("action"), "anything", offered.map(|action| (action.as_str(), sentence(*action))))) }
            @if visitor.is_operator() {
                label { span.small.muted { "By the key" } (typed(visitor, "key", "key_…")) }
            }
            label { span.small.muted { "About" } (typed(visitor, "subject", "an id or a name")) }
            (filters::field(visitor, "since", "Since", "24h or 2026-01-31"))
            (filters::field(visitor, "until", "Until", "2026-01-31 12:00"))
            button { "Filter" }
        }
    }
}

fn typed(visitor: &Visitor, name: &str, example: &str) -> Markup {
    html! { input type="text" name=(name) value=[visitor.query.get(name)] placeholder=(example) maxlength="128" spellcheck="false"; }
}

/// Words of the API, and how people call each.
fn choice<'a>(name: &str, chosen: &str, all: &str, words: impl Iterator<Item = (&'a str, &'a str)>) -> Markup {
    html! {
        select name=(name) {
            option value="" selected[chosen.is_empty()] { (all) }
            @for (word, said) in words { option value=(word) selected[word == chosen] { (said) } }
        }
    }
}

/// What somebody did, in words that go on where their name ends.
const fn sentence(action: AuditAction) -> &'static str {
    match action {
        AuditAction::KeyCreated => "made a key",
        AuditAction::KeyRevoked => "revoked a key",
        AuditAction::PortalLinkCreated => "made a link to the portal",
        AuditAction::PortalLinkOpened => "opened a link to the portal",
        AuditAction::PortalLinkRevoked => "revoked a link to the portal",
        AuditAction::PartnerCreated => "made a partner",
        AuditAction::PartnerErasing => "had a partner erased",
        AuditAction::PartnerErased => "erased the last of a partner",
        AuditAction::RetentionSet => "set how long things are kept",
        AuditAction::RetentionCleared => "had things kept as usual again",
        AuditAction::EndpointCreated => "made an endpoint",
        AuditAction::EndpointChanged => "changed an endpoint",
        AuditAction::EndpointDeleted => "deleted an endpoint",
        AuditAction::EndpointPaused => "paused an endpoint",
        AuditAction::EndpointResumed => "resumed an endpoint",
        AuditAction::EndpointDisabled => "disabled an endpoint",
        AuditAction::SecretRotated => "rotated a secret",
        AuditAction::SecretRead => "looked at a secret",
        AuditAction::SecretsReencrypted => "encrypted all secrets anew",
        AuditAction::EventTypePut => "added or changed an event type",
        AuditAction::EventTypeDeleted => "took an event type out",
        AuditAction::DeliveryRetried => "retried a delivery",
        AuditAction::DeliverySkipped => "gave a delivery up",
        AuditAction::DeliveryDismissed => "dismissed an exhausted delivery",
        AuditAction::ExhaustedDismissed => "dismissed exhausted deliveries",
        AuditAction::RetriesHurried => "brought retries forward",
        AuditAction::ReplayStarted => "started a replay",
        AuditAction::ReplayCancelled => "cancelled a replay",
        AuditAction::BrakeSet => "set a brake",
        AuditAction::BrakeReleased => "released a brake",
        AuditAction::NodeReleased => "released a held node",
    }
}

/// Whether a partner can see entries of it: they are of its things in one environment. The
/// rest is nobody's, or of all environments.
const fn is_partners(action: AuditAction) -> bool {
    !matches!(
        action,
        AuditAction::PartnerCreated
            | AuditAction::PartnerErasing
            | AuditAction::PartnerErased
            | AuditAction::SecretsReencrypted
            | AuditAction::EventTypePut
            | AuditAction::EventTypeDeleted
            | AuditAction::NodeReleased
    )
}

/// An entry's action: in words, and the word that the API has for it.
fn deed(action: &str) -> Markup {
    html! {
        @match action.parse() {
            Ok(known) => { b { (sentence(known)) } " " span.small.muted { (action) } }
            // The log shows also what nobody would have written.
            Err(_) => b { (action) },
        }
    }
}

/// What is asked for, each to be taken out by itself.
fn chips(visitor: &Visitor, filters: &[(&str, &str)]) -> Markup {
    html! {
        @if !filters.is_empty() {
            p.row {
                @for (name, value) in filters {
                    @let others: Vec<(&str, &str)> = filters.iter().copied().filter(|(other, _)| other != name).collect();
                    span.chip {
                        span.muted { (name) " " } b { (words::short(value)) } " "
                        a href=(visitor.to("/audit", &others)) aria-label={ "Remove the filter " (name) } title={ "Remove the filter " (name) } { "×" }
                    }
                }
                @if filters.len() > 1 { a href=(visitor.to("/audit", &[])) { "Remove filters" } }
            }
        }
    }
}

/// What keys are called where something was done with them: those of links as such, and to
/// operators others by their beginnings, as they are listed.
#[derive(Default)]
pub struct Hands {
    links: HashSet<String>,
    prefixes: HashMap<String, String>,
}

impl Hands {
    /// Asks what is known of these. What was done with a link says so of it: each is looked for
    /// by itself, which costs little however long the log is.
    pub async fn read<'a>(visitor: &Visitor, ids: impl IntoIterator<Item = &'a str>) -> Self {
        let ids: BTreeSet<&str> = ids.into_iter().collect();
        if ids.is_empty() {
            return Self::default();
        }
        let prefixes: HashMap<String, String> = match visitor.may(Permission::Operate) {
            true => {
                let limit = visitor.api.limits.page_max.to_string();
                let found: Result<List<Key>, Trouble> =
                    visitor.get("/keys", About::Nobody, &[("limit", limit.as_str())]).await;
                found.into_iter().flat_map(|list| list.data).map(|key| (key.id, key.prefix)).collect()
            }
            false => HashMap::new(),
        };
        let unknown = ids.into_iter().filter(|id| !prefixes.contains_key(*id) && visitor.may(Permission::ReadAudit));
        let about = if visitor.is_operator() { About::Nobody } else { About::These };
        let asked = unknown.take(LOOKED_FOR).map(|id| async move {
            let found: Result<List<AuditEntry>, Trouble> =
                visitor.get("/audit", about, &[("subject", id), ("limit", "1")]).await;
            let newest = found.ok()?.data.into_iter().next()?;
            newest.action.starts_with("portal_link.").then(|| id.to_owned())
        });
        let links = join_all(asked).await.into_iter().flatten().collect();
        Self { links, prefixes }
    }

    /// What one is called.
    pub fn name(&self, id: &str) -> Markup {
        html! {
            @match self.prefixes.get(id) {
                _ if self.links.contains(id) => { "link " (words::id(id)) }
                Some(prefix) => span.id title=(id) { (prefix) "…" },
                None => (words::id(id)),
            }
        }
    }
}

/// Who it was. Partners are told of operators that they were, and nothing more.
pub fn who<'a>(visitor: &'a Visitor, actor: &'a str) -> &'a str {
    let operators = [Actor::Key(Role::Operator), Actor::Configured, Actor::Command];
    let is_operators = operators.iter().any(|known| known.as_str() == actor);
    match visitor.is_partner() {
        true if is_operators => "the service",
        true if actor == Actor::Posthaste.as_str() => visitor.service(),
        _ => actor,
    }
}

/// A table of entries.
pub async fn table(visitor: &Visitor, entries: &[AuditEntry]) -> Markup {
    let hands = Hands::read(visitor, entries.iter().filter_map(|entry| entry.key.as_deref())).await;
    html! {
        div.list {
            table {
                caption { "Newest first." }
                thead {
                    tr {
                        th scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "What" } th scope="col" { "About" }
                        th scope="col" { "Where" } th scope="col" { "Before and after" }
                    }
                }
                tbody {
                    @for entry in entries {
                        tr id={ "entry-" (entry.number) } {
                            td.nowrap { (words::time(entry.at.0, visitor.now)) }
                            td.nowrap { (who(visitor, &entry.actor)) @if let Some(key) = &entry.key { " " (hands.name(key)) } @if let Some(address) = &entry.address { span.muted.small { " " (address) } } }
                            td { (deed(&entry.action)) }
                            td { (subject(visitor, entry)) }
                            td { (entry.partner.as_deref().unwrap_or("")) @if let Some(environment) = &entry.environment { span.muted { " " (environment) } } }
                            td.line2 { (detail(entry.detail.get())) }
                        }
                    }
                }
            }
        }
    }
}

/// What changed, from what to what; of anything else all that was noted.
fn detail(detail: &str) -> Markup {
    let changes = changes(detail);
    html! {
        @if detail != "{}" {
            @for (setting, before, after) in changes.iter().take(TOLD) {
                div.change { code { (setting) } " " @if let Some(before) = before { del { (words::brief(before, VALUE)) } " → " } ins { (words::brief(after, VALUE)) } }
            }
            @let label = match changes.len() { 0 => "show".to_owned(), all if all > TOLD => format!("all {all} changes"), _ => "as it is written".to_owned() };
            details { summary { (label) } (pretty(detail)) }
        }
    }
}

/// Settings that are noted with both values, and headers with what became of each.
fn changes(detail: &str) -> Vec<(String, Option<String>, String)> {
    let Ok(Value::Object(detail)) = serde_json::from_str::<Value>(detail) else { return Vec::new() };
    let Some(Value::Object(changed)) = detail.get("changed") else { return Vec::new() };
    let mut told = Vec::new();
    for (setting, change) in changed {
        match (change.get("from"), change.get("to")) {
            (Some(from), Some(to)) => told.push((setting.clone(), Some(plain(from)), plain(to))),
            _ => {
                for verb in ["set", "removed"] {
                    let names = change.get(verb).and_then(Value::as_array).into_iter().flatten();
                    let names: Vec<&str> = names.filter_map(Value::as_str).collect();
                    if !names.is_empty() {
                        told.push((setting.clone(), None, format!("{verb}: {}", names.join(", "))));
                    }
                }
            }
        }
    }
    told
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What it was done to, as a link where there is a page for it.
fn subject(visitor: &Visitor, entry: &AuditEntry) -> Markup {
    let kind = entry.subject.split_once('_').map_or("", |(kind, _)| kind);
    let room = match kind {
        "ep" => "/endpoints",
        "dlv" => "/deliveries",
        "evt" => "/events",
        "rpl" => "/replays",
        "key" if visitor.is_operator() && entry.action.starts_with("key.") => {
            return html! { a href=(visitor.address("/keys", None, &[])) { (words::id(&entry.subject)) } };
        }
        _ => match entry.action.split_once('.').map_or("", |(noun, _)| noun) {
            // What was erased is there no more, and says so.
            "partner" if visitor.is_operator() => "/partners",
            "event_type" => "/catalog",
            _ => return words::id(&entry.subject),
        },
    };
    let mut query = Vec::new();
    if visitor.chooses_environment() && entry.environment.as_deref() == Some("sandbox") {
        query.push(("env", "sandbox"));
    }
    let to = format!("{ROOT}{room}/{}{}", segment(&entry.subject), crate::dashboard::form::query(&query));
    html! { a href=(to) { (words::id(&entry.subject)) } }
}

/// Checks the whole chain.
pub async fn verify(posted: Posted) -> HttpResponse {
    let visitor = posted.visitor;
    let verdict: Result<AuditVerdict, Trouble> = visitor.get("/audit/verify", About::Nobody, &[]).await;
    let page = verdict.map(|verdict| {
        let body = html! {
            (head("The audit log's chain", html! { a href=(visitor.to("/audit", &[])) { "To the log" } }))
            section.panel {
                p.sentence {
                    @if verdict.intact {
                        (icons::state("delivered", "intact")) " All " (words::of(verdict.entries, "entry").replace("entrys", "entries")) " are as they were written."
                    } @else {
                        (icons::state("failing", "broken"))
                        " It does not fit from entry " (verdict.broken_at.unwrap_or_default()) " on: " (verdict.reason.as_deref().unwrap_or("no reason is known")) "."
                    }
                }
                dl.facts {
                    dt { "Entries" } dd { (words::count(verdict.entries)) }
                    dt { "Head" } dd { code { (verdict.head) } }
                }
                p.muted { "Note the number and the head elsewhere: a later check can be given both, and then finds whether entries were cut off." }
            }
        };
        Page::new("The audit log's chain", body).about_all()
    });
    visitor.answer(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_told_from_what_to_what() {
        let detail = r#"{"changed": {"rate_limit": {"from": null, "to": {"per_second": 5}}, "description": {"from": "a", "to": "b"},
                         "headers": {"set": ["x-a", "x-b"], "removed": []}}}"#;
        let told = changes(detail);
        let told: Vec<(&str, Option<&str>, &str)> =
            told.iter().map(|(setting, before, after)| (setting.as_str(), before.as_deref(), after.as_str())).collect();
        let expected = [
            ("rate_limit", Some("none"), r#"{"per_second":5}"#),
            ("description", Some("a"), "b"),
            ("headers", None, "set: x-a, x-b"),
        ];
        assert_eq!(told, expected);
        for other in ["{}", "[]", "x", r#"{"changed": ["schema"]}"#, r#"{"changed": {"a": 1}}"#] {
            assert_eq!(changes(other), [], "{other}");
        }
        assert_eq!(words::brief(&"ä".repeat(61), VALUE), format!("{}…", "ä".repeat(60)));
    }
}
