//! What every error looks like. Which kinds there are stands in `routes/problem.rs`, and
//! which of them an operation answers in `operations.rs`.

#![allow(dead_code, reason = "it says what JSON looks like, and nobody makes one")]

use utoipa::ToSchema;

/// An RFC 9457 problem.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "type": "urn:posthaste:problem:invalid", "title": "Something in the request breaks a rule", "status": 422,
    "detail": "`/events`: name at least one event type, or use `*` for all",
    "errors": [{ "pointer": "/events", "detail": "name at least one event type, or use `*` for all" }],
})))]
pub struct Problem {
    /// Which kind of problem. It never changes its meaning.
    #[schema(pattern = "^urn:posthaste:problem:[a-z-]+$")]
    r#type: String,
    /// What is wrong, the same for all of a kind.
    title: String,
    /// The answer's status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// How to mend it. A limit is named by its option.
    detail: String,
    /// Where in the body.
    #[schema(required = false, min_items = 1)]
    errors: Vec<FieldProblem>,
}

/// One field that is wrong.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FieldProblem {
    /// A JSON pointer (RFC 6901) into the body.
    pointer: String,
    /// What was expected, and what was found.
    detail: String,
}
