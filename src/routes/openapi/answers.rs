//! Completes the document by the table of operations: security, who may ask, and an
//! answer for each status with the problems that have it. A set of problems that many
//! operations share is written once.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::ResponseError as _;
use actix_web::http::header::{CONTENT_TYPE, HeaderName};
use serde_json::{Map, Value, json};

use crate::auth::Permission;
use crate::domain::Role;
use crate::routes::problem::{Kind, PROBLEM_JSON, Problem};

use super::operations::Operation;

/// What keys are called in the document.
const SCHEME: &str = "key";

/// Puts in what the table says.
pub fn complete(document: &mut Value) {
    let mut shared = Map::new();
    if let Some(paths) = document["paths"].as_object_mut() {
        for (method, operation) in paths.values_mut().filter_map(Value::as_object_mut).flatten() {
            let row = operation["operationId"].as_str().and_then(Operation::of);
            if let Some(row) = row {
                complete_one(operation, row, &mut shared);
            }
            if let Some(schema) = operation.pointer_mut("/requestBody/content/application~1json/schema") {
                left_out_is_not_null(schema);
            }
            if method == "head" {
                only_the_head(operation);
            }
        }
    }
    shared.sort_keys();
    document["components"]["responses"] = Value::Object(shared);
    document["components"]["securitySchemes"] = json!({
        SCHEME: {
            "type": "http",
            "scheme": "bearer",
            "description": "A key of `POST /keys`, of `posthaste keys create`, or the operator's of the configuration.",
        }
    });
}

fn complete_one(operation: &mut Value, row: &Operation, shared: &mut Map<String, Value>) {
    if let Some(permission) = row.permission {
        operation["security"] = security(permission);
        let who = format!("For keys of role {}.", permission.roles());
        let text = match operation["description"].as_str() {
            Some(text) if !text.is_empty() => format!("{text}\n\n{who}"),
            _ => who,
        };
        if let Some(fields) = operation.as_object_mut() {
            fields.remove("description");
            // Behind the summary, where people look for it.
            let place = fields.keys().position(|name| name == "operationId").unwrap_or(0);
            fields.shift_insert(place, "description".to_owned(), json!(text));
        }
    }
    let mut by_status: BTreeMap<u16, Vec<Kind>> = BTreeMap::new();
    for kind in row.problems() {
        by_status.entry(kind.status().as_u16()).or_default().push(kind);
    }
    for (status, kinds) in by_status {
        let name = kinds.iter().map(|kind| camel(kind.slug())).collect::<Vec<_>>().join("Or");
        operation["responses"][status.to_string()] = json!({ "$ref": format!("#/components/responses/{name}") });
        shared.entry(name).or_insert_with(|| response(status, &kinds));
    }
    if let Some(responses) = operation["responses"].as_object_mut() {
        responses.sort_keys();
    }
}

/// One of these roles is enough.
fn security(permission: Permission) -> Value {
    let roles = [Role::Partner, Role::Producer, Role::Operator];
    roles
        .into_iter()
        .filter(|role| permission.is_given_to(*role))
        .map(|role| json!({ SCHEME: [role.as_str()] }))
        .collect()
}

fn response(status: u16, kinds: &[Kind]) -> Value {
    let titles: Vec<String> = kinds.iter().map(|kind| format!("`{}`: {}.", kind.slug(), kind.title())).collect();
    let types: Vec<String> = kinds.iter().map(|kind| kind.uri()).collect();
    let mut response = json!({
        "description": titles.join(" "),
        "content": {
            PROBLEM_JSON: {
                "schema": {
                    "allOf": [
                        { "$ref": "#/components/schemas/Problem" },
                        { "properties": { "type": { "enum": types }, "status": { "const": status } } },
                    ]
                }
            }
        }
    });
    let headers: Map<String, Value> = kinds.first().map(|kind| headers(*kind)).unwrap_or_default();
    if !headers.is_empty() {
        response["headers"] = Value::Object(headers);
    }
    response
}

/// What a problem's answer carries beside its body, read off a real one.
fn headers(kind: Kind) -> Map<String, Value> {
    let problem = match kind {
        Kind::RateLimited => Problem::rate_limited("", "", Duration::from_secs(1)),
        kind => Problem::new(kind, ""),
    };
    let answer = problem.error_response();
    let mut names: Vec<&HeaderName> = answer.headers().keys().filter(|name| *name != CONTENT_TYPE).collect();
    names.sort_by_key(|name| name.as_str());
    let shown = |name: &HeaderName| {
        let value = answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        match value.parse::<u32>() {
            Ok(_) => json!({ "schema": { "type": "integer", "minimum": 0 }, "example": value.parse::<u32>().ok() }),
            Err(_) => json!({ "schema": { "type": "string" }, "example": value }),
        }
    };
    names.into_iter().map(|name| (canonical(name.as_str()), shown(name))).collect()
}

/// A body that may be left out is an `Option` beside its handler. That it may be `null`
/// instead is not meant.
fn left_out_is_not_null(schema: &mut Value) {
    let Some(choices) = schema["oneOf"].as_array() else { return };
    let is_null = |choice: &&Value| choice["type"] == "null";
    if let (true, Some(body)) =
        (choices.iter().any(|choice| is_null(&choice)), choices.iter().find(|choice| !is_null(choice)))
    {
        *schema = body.clone();
    }
}

/// An answer to `HEAD` has no body, and the operation a name of its own.
fn only_the_head(operation: &mut Value) {
    let id = operation["operationId"].as_str().unwrap_or_default();
    operation["operationId"] = json!(format!("{id}_head"));
    if let Some(responses) = operation["responses"].as_object_mut() {
        for response in responses.values_mut() {
            let description = response["description"].as_str().unwrap_or("As for `GET`.");
            *response = json!({ "description": description });
        }
    }
}

/// `store-full` as `StoreFull`.
fn camel(slug: &str) -> String {
    slug.split('-').map(capitalised).collect()
}

/// `retry-after` as `Retry-After`.
fn canonical(header: &str) -> String {
    header
        .split('-')
        .map(|word| if word == "www" { "WWW".to_owned() } else { capitalised(word) })
        .collect::<Vec<_>>()
        .join("-")
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}
