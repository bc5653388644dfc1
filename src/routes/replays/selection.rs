//! What a replay's body asks for, read with every problem named.

use std::str::FromStr;

use serde_json::{Map, Value};

use crate::catalog::pointer_below;
use crate::domain::{
    EndpointId, MAX_EVENT_TYPES, MAX_RATE, PartnerName, ReplaySelection, Replayable, Timestamp, TypePattern,
};
use crate::routes::problem::{FieldProblem, Problem};
use crate::store::WantedEndpoints;

/// The fields of every replay.
const KNOWN: [&str; 7] = ["since", "until", "types", "status", "missing", "rate_limit", "dry_run"];

/// What a body asks for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) selection: ReplaySelection,
    pub(super) per_second: Option<u32>,
    /// Nothing is made.
    pub(super) is_dry_run: bool,
}

impl Asked {
    /// For the endpoint that the path names.
    pub(super) fn of_endpoint(fields: Map<String, Value>) -> Result<Self, Problem> {
        let mut reader = Reader { fields, errors: Vec::new() };
        let asked = reader.asked();
        reader.finish(&KNOWN)?;
        Ok(asked)
    }

    /// For the endpoints that the body names.
    pub(super) fn of_several(fields: Map<String, Value>, most: usize) -> Result<(Self, WantedEndpoints), Problem> {
        let mut reader = Reader { fields, errors: Vec::new() };
        let endpoints: Vec<EndpointId> = reader.list("endpoints", most, "endpoints_per_replay");
        let partners: Vec<PartnerName> = reader.list("partners", most, "endpoints_per_replay");
        let asked = reader.asked();
        reader.finish(&[&KNOWN[..], &["endpoints", "partners"]].concat())?;
        Ok((asked, WantedEndpoints { endpoints, partners, most }))
    }
}

struct Reader {
    fields: Map<String, Value>,
    errors: Vec<FieldProblem>,
}

impl Reader {
    fn asked(&mut self) -> Asked {
        let (since, until) = (self.time("since"), self.time("until"));
        if since.zip(until).is_some_and(|(since, until)| since >= until) {
            self.wrong("/until", "not after `since`, so that nothing lies between the two");
        }
        let types: Vec<TypePattern> = self.list("types", MAX_EVENT_TYPES, "100 patterns");
        let statuses = self.statuses();
        let missing = self.flag("missing");
        let statuses = match statuses {
            Some(statuses) => statuses,
            // What went wrong is what most people mean.
            None if missing => Vec::new(),
            None => vec![Replayable::RetriesExhausted],
        };
        if statuses.is_empty() && !missing && self.errors.is_empty() {
            self.wrong("/status", "empty, and without `missing` nothing is selected");
        }
        let per_second = self.rate();
        let is_dry_run = self.flag("dry_run");
        Asked { selection: ReplaySelection { since, until, types, statuses, missing }, per_second, is_dry_run }
    }

    fn wrong(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.errors.push(FieldProblem::new(pointer, detail));
    }

    fn time(&mut self, name: &str) -> Option<Timestamp> {
        match self.fields.remove(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => match text.parse() {
                Ok(time) => Some(time),
                Err(error) => {
                    self.wrong(format!("/{name}"), format!("{error}"));
                    None
                }
            },
            Some(_) => {
                self.wrong(format!("/{name}"), "expected an RFC 3339 time such as \"2026-01-31T12:00:00Z\"");
                None
            }
        }
    }

    fn flag(&mut self, name: &str) -> bool {
        match self.fields.remove(name) {
            None | Some(Value::Null) => false,
            Some(Value::Bool(flag)) => flag,
            Some(_) => {
                self.wrong(format!("/{name}"), "expected true or false");
                false
            }
        }
    }

    fn list<T: FromStr<Err: std::fmt::Display>>(&mut self, name: &str, most: usize, limit: &str) -> Vec<T> {
        let items = match self.fields.remove(name) {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Array(items)) => items,
            Some(_) => {
                self.wrong(format!("/{name}"), "expected an array of strings");
                return Vec::new();
            }
        };
        if items.len() > most {
            self.wrong(format!("/{name}"), format!("at most {most} (`{limit}`)"));
            return Vec::new();
        }
        let mut read = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match item.as_str().map(str::parse::<T>) {
                Some(Ok(item)) => read.push(item),
                Some(Err(error)) => self.errors.push(FieldProblem::new(format!("/{name}/{index}"), error.to_string())),
                None => self.errors.push(FieldProblem::new(format!("/{name}/{index}"), "expected a string")),
            }
        }
        read
    }

    /// One word, or several.
    fn statuses(&mut self) -> Option<Vec<Replayable>> {
        match self.fields.get("status") {
            None | Some(Value::Null) => {
                self.fields.remove("status");
                return None;
            }
            Some(Value::String(text)) => match text.parse() {
                Ok(status) => {
                    self.fields.remove("status");
                    return Some(vec![status]);
                }
                Err(error) => {
                    let detail = format!("{error}");
                    self.fields.remove("status");
                    self.wrong("/status", detail);
                    return None;
                }
            },
            Some(_) => {}
        }
        let mut read: Vec<Replayable> = self.list("status", Replayable::ALL.len(), "each status once");
        let mut seen = Vec::new();
        read.retain(|status| {
            !seen.contains(status) && {
                seen.push(*status);
                true
            }
        });
        Some(read)
    }

    fn rate(&mut self) -> Option<u32> {
        let fields = match self.fields.remove("rate_limit") {
            None | Some(Value::Null) => return None,
            Some(Value::Object(fields)) => fields,
            Some(_) => {
                self.wrong("/rate_limit", "expected an object such as {\"per_second\": 10}");
                return None;
            }
        };
        for unknown in fields.keys().filter(|name| name.as_str() != "per_second") {
            self.errors
                .push(FieldProblem::new(pointer_below("/rate_limit", unknown), "unknown field; there is `per_second`"));
        }
        let number = fields.get("per_second").and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
        let number = number.filter(|number| (1..=MAX_RATE).contains(number));
        if number.is_none() {
            self.wrong("/rate_limit/per_second", format!("expected a whole number from 1 to {MAX_RATE}"));
        }
        number
    }

    fn finish(mut self, known: &[&str]) -> Result<(), Problem> {
        let list = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        for unknown in self.fields.keys() {
            self.errors.push(FieldProblem::new(pointer_below("", unknown), format!("unknown field; there is {list}")));
        }
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::invalid(self.errors)) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: Value) -> Result<Asked, Problem> {
        let Value::Object(fields) = body else { panic!("a body of ours is an object") };
        Asked::of_endpoint(fields)
    }

    #[test]
    fn without_more_it_is_about_what_is_exhausted() {
        for (body, statuses, missing) in [
            (json!({}), vec![Replayable::RetriesExhausted], false),
            (json!({ "missing": true }), vec![], true),
            (json!({ "missing": true, "status": "delivered" }), vec![Replayable::Delivered], true),
            (
                json!({ "status": ["discarded", "delivered", "discarded"] }),
                vec![Replayable::Discarded, Replayable::Delivered],
                false,
            ),
            (json!({ "status": null, "since": null, "types": null }), vec![Replayable::RetriesExhausted], false),
        ] {
            let asked = read(body.clone()).unwrap_or_else(|problem| panic!("{body}: {}", problem.detail));
            assert_eq!((asked.selection.statuses, asked.selection.missing), (statuses, missing), "{body}");
        }
    }

    #[test]
    fn every_problem_is_pointed_to() {
        for (body, pointers) in [
            (json!({ "status": "pending" }), vec!["/status"]),
            (json!({ "status": ["held", 7] }), vec!["/status/0", "/status/1"]),
            (json!({ "status": [] }), vec!["/status"]),
            (json!({ "since": "today", "until": 5 }), vec!["/since", "/until"]),
            (json!({ "since": "2026-01-02T00:00:00Z", "until": "2026-01-02T00:00:00Z" }), vec!["/until"]),
            (json!({ "types": ["a.*", "*.b"], "missing": "yes" }), vec!["/types/1", "/missing"]),
            (
                json!({ "rate_limit": { "per_second": 0, "burst": 1 } }),
                vec!["/rate_limit/burst", "/rate_limit/per_second"],
            ),
            (json!({ "endpoints": [] }), vec!["/endpoints"]),
        ] {
            let problem = read(body.clone()).expect_err("something is wrong with it");
            let found: Vec<&str> = problem.errors.iter().map(|error| error.pointer.as_str()).collect();
            assert_eq!(found, pointers, "{body}");
        }
    }

    #[test]
    fn what_is_still_to_come_is_brought_forward_otherwise() {
        let problem = read(json!({ "status": ["retrying"] })).expect_err("it is still to come");
        assert!(problem.detail.contains("/retry-now"), "{}", problem.detail);
    }
}
