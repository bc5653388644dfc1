//! What saving an endpoint's settings changed: shown before and after, and how it is taken
//! back. The audit log has the first; the second is what the settings were, as far as they
//! are shown to anybody.

use maud::{Markup, html};
use serde_json::{Map, Value};

use crate::dashboard::inside::Trouble;
use crate::dashboard::pages::segment;
use crate::dashboard::visitor::{About, Visitor};
use crate::dashboard::wire::{AuditEntry, List};
use crate::dashboard::{answers, frame};

/// Settings that can be taken back: of the others the values are not shown.
const TAKEN_BACK: [&str; 11] = [
    "url",
    "events",
    "description",
    "enabled",
    "ordering",
    "rate_limit",
    "filter",
    "max_concurrency",
    "timeout_ms",
    "retry",
    "disable_on_gone",
];
/// What a button of the next page carries at most.
const UNDO_BYTES_MAX: usize = 1_500;

/// An endpoint as the API shows it.
pub async fn read(visitor: &Visitor, id: &str) -> Result<Value, Trouble> {
    visitor.get(&format!("/webhook/{}", segment(id)), About::These, &[]).await
}

/// What takes a change back: the settings that differ, as they were. `None` where some of it
/// cannot be, or it is more than a button carries.
pub fn undo(before: &Value, after: &Value) -> Option<String> {
    let differs = |name: &&str| before[*name] != after[*name];
    if ["headers", "client_certificate"].iter().any(differs) {
        return None;
    }
    let was: Map<String, Value> = TAKEN_BACK
        .iter()
        .filter(|name| differs(name))
        .map(|name| ((*name).to_owned(), before[*name].clone()))
        .collect();
    let text = Value::Object(was).to_string();
    (text != "{}" && text.len() <= UNDO_BYTES_MAX).then_some(text)
}

/// What a button says that takes a change back: only such settings.
pub fn taken_back(text: &str) -> Option<Value> {
    let Value::Object(was) = serde_json::from_str(text).ok()? else { return None };
    was.keys().all(|name| TAKEN_BACK.contains(&name.as_str())).then_some(Value::Object(was))
}

/// What was changed by the last save, before and after.
pub async fn shown(visitor: &Visitor, id: &str) -> Markup {
    let asked = [("subject", id), ("action", "endpoint.changed"), ("limit", "1")];
    let found: Result<List<AuditEntry>, Trouble> = visitor.get("/audit", About::These, &asked).await;
    let entry = match found {
        Err(trouble) => return answers::part(&trouble),
        Ok(found) => found.data.into_iter().next(),
    };
    let detail: Option<Value> = entry.and_then(|entry| serde_json::from_str(entry.detail.get()).ok());
    let changed = detail.as_ref().and_then(|detail| detail.get("changed")).and_then(Value::as_object);
    let Some(changed) = changed else { return html! {} };
    html! {
        div.list #saved {
            table {
                caption { "What the last save changed. Of headers only the names are kept, and of URLs no tokens." }
                thead { tr { th scope="col" { "Setting" } th scope="col" { "Before" } th scope="col" { "After" } } }
                tbody {
                    @for (name, values) in changed {
                        tr {
                            td.nowrap { b { (name.replace('_', " ")) } }
                            @if name == "headers" {
                                td data-l="removed" { (told(&values["removed"])) }
                                td data-l="set" { (told(&values["set"])) }
                            } @else {
                                td data-l="before" { (told(&values["from"])) }
                                td data-l="after" { (told(&values["to"])) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn told(value: &Value) -> Markup {
    html! {
        @match value {
            Value::Null => span.muted { "default" },
            Value::String(text) => (text),
            Value::Bool(yes) => { @if *yes { "yes" } @else { "no" } }
            Value::Array(items) if items.is_empty() => span.muted { "none" },
            Value::Array(items) if items.iter().all(Value::is_string) => {
                @for (place, item) in items.iter().enumerate() { @if place > 0 { ", " } (item.as_str().unwrap_or_default()) }
            }
            other => code { (other.to_string()) },
        }
    }
}

/// The form of a rotation: with a time in which both sign, and, asked once more, without.
pub fn rotation(visitor: &Visitor, to: &str) -> Markup {
    html! {
        details.confirm {
            summary.button { "Rotate…" }
            form method="post" action=(to) {
                (frame::token(visitor))
                p { "A new one signs from now on; those from before sign beside it for a while." }
                label { "Hours " input.small-number type="text" name="hours" value="24" inputmode="numeric"; }
                button.danger { "Rotate" }
            }
        }
        details.confirm {
            summary.button { "Rotate at once…" }
            form method="post" action=(to) {
                (frame::token(visitor))
                input type="hidden" name="hours" value="0";
                p { "Those from before sign nothing from now on: a receiver that does not have the new one yet refuses everything. For a secret that has leaked." }
                label.box { input type="checkbox" name="at_once" required; "I know" }
                button.danger { "Rotate without overlap" }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_is_taken_back_by_what_was() {
        let before = json!({ "url": "https://a/", "events": ["*"], "retry": null, "headers": { "x": "(redacted)" }, "version": 1 });
        let with = |changes: &[(&str, Value)]| {
            let mut after = before.clone();
            changes.iter().for_each(|(name, value)| after[*name] = value.clone());
            after["version"] = json!(2);
            after
        };
        let undo_of = |changes: &[(&str, Value)]| undo(&before, &with(changes));
        assert_eq!(undo_of(&[("url", json!("https://b/"))]).as_deref(), Some(r#"{"url":"https://a/"}"#));
        let several = undo_of(&[("retry", json!({ "schedule_ms": [] })), ("events", json!(["a"]))]).expect("it can be");
        assert_eq!(taken_back(&several), Some(json!({ "retry": null, "events": ["*"] })));
        assert_eq!(undo_of(&[]), None);
        // Of headers only the names are known.
        assert_eq!(undo_of(&[("url", json!("https://b/")), ("headers", json!({}))]), None);
        let long = json!({ "description": "x".repeat(2_000), "headers": {} });
        assert_eq!(undo(&long, &json!({ "description": null, "headers": {} })), None);
    }

    #[test]
    fn a_button_takes_back_settings_and_nothing_else() {
        for text in ["", "[]", "1", r#"{"secret":"whsec_x"}"#, r#"{"url":"https://a/","headers":{}}"#] {
            assert_eq!(taken_back(text), None, "{text}");
        }
    }
}
