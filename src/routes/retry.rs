//! A schedule of retries as the API writes it, an endpoint's or an event type's:
//! read with every problem named, held to the operator's bounds, and shown.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::catalog::pointer_below;
use crate::domain::{RetryBounds, RetryPolicy, RetryPolicyError};
use crate::routes::problem::FieldProblem;

/// How much a schedule may ask for, as operators configure it.
#[derive(Debug, Clone)]
pub struct RetryLimits {
    /// Most retries: the option `max_retries`.
    pub retries: u32,
    /// Longest span of a whole schedule: the option `max_retry_days`.
    pub span: Duration,
    /// How long deliveries are kept: the option `retention_days`. No schedule
    /// is longer, whatever `span` says.
    pub retention: Duration,
}

impl RetryLimits {
    fn bounds(&self) -> RetryBounds {
        RetryBounds { retries: self.retries, span: self.span.min(self.retention) }
    }

    /// What a client is told, with the option that an operator could change.
    fn explain(&self, error: &RetryPolicyError) -> String {
        match error {
            RetryPolicyError::TooMany { .. } => format!("{error} (`max_retries`)"),
            RetryPolicyError::SpanTooLong { .. } if self.retention < self.span => {
                format!("{error}, which is how long deliveries are kept (`retention_days`)")
            }
            RetryPolicyError::SpanTooLong { .. } => format!("{error} (`max_retry_days`)"),
            _ => error.to_string(),
        }
    }
}

/// The schedule that the field `retry` asks for; null asks for none.
pub fn read(value: &Value, limits: &RetryLimits) -> Result<Option<RetryPolicy>, Vec<FieldProblem>> {
    let fields = match value {
        Value::Null => return Ok(None),
        Value::Object(fields) => fields,
        _ => return Err(vec![FieldProblem::new("/retry", "expected an object")]),
    };
    let mut errors = Vec::new();
    let policy = match fields.get("schedule_ms") {
        Some(schedule) => {
            refuse_unknown(fields, &["schedule_ms"], &mut errors);
            read_schedule(schedule, &mut errors)
        }
        None => {
            refuse_unknown(fields, &["retries", "base_ms", "factor", "max_ms", "jitter"], &mut errors);
            read_exponential(fields, &mut errors)
        }
    };
    if !errors.is_empty() {
        return Err(errors);
    }
    let checked = policy.checked(&limits.bounds());
    checked.map(Some).map_err(|error| vec![FieldProblem::new("/retry", limits.explain(&error))])
}

fn refuse_unknown(fields: &Map<String, Value>, known: &[&str], errors: &mut Vec<FieldProblem>) {
    for unknown in fields.keys().filter(|name| !known.contains(&name.as_str())) {
        let pointer = pointer_below("/retry", unknown);
        let detail =
            "unknown field; there is either `schedule_ms`, or `retries`, `base_ms`, `factor`, `max_ms` and `jitter`";
        errors.push(FieldProblem::new(pointer, detail));
    }
}

fn read_schedule(value: &Value, errors: &mut Vec<FieldProblem>) -> RetryPolicy {
    let mut waits = Vec::new();
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                match item.as_u64() {
                    Some(millis) => waits.push(Duration::from_millis(millis)),
                    None => errors.push(FieldProblem::new(
                        format!("/retry/schedule_ms/{index}"),
                        "expected a whole number of milliseconds",
                    )),
                }
            }
        }
        _ => errors
            .push(FieldProblem::new("/retry/schedule_ms", "expected an array of milliseconds; `[]` means no retry")),
    }
    RetryPolicy::Schedule(waits)
}

fn read_exponential(fields: &Map<String, Value>, errors: &mut Vec<FieldProblem>) -> RetryPolicy {
    let RetryPolicy::Exponential { mut retries, mut base, mut factor, mut max, mut jitter } = RetryPolicy::default()
    else {
        unreachable!("the default policy is the parametric one");
    };
    for (name, value) in fields {
        let whole = value.as_u64();
        let number = value.as_f64();
        let understood = match name.as_str() {
            "retries" => whole.and_then(|number| u32::try_from(number).ok()).map(|number| retries = number),
            "base_ms" => whole.map(|millis| base = Duration::from_millis(millis)),
            "max_ms" => whole.map(|millis| max = Duration::from_millis(millis)),
            "factor" => number.map(|number| factor = number),
            "jitter" => number.map(|number| jitter = number),
            _ => Some(()),
        };
        if understood.is_none() {
            errors.push(FieldProblem::new(format!("/retry/{name}"), "expected a number that is not negative"));
        }
    }
    RetryPolicy::Exponential { retries, base, factor, max, jitter }
}

/// A schedule as [`read`] would take it.
pub fn show(policy: &RetryPolicy) -> Value {
    match policy {
        RetryPolicy::Schedule(waits) => {
            json!({ "schedule_ms": waits.iter().map(|wait| wait.as_millis() as u64).collect::<Vec<_>>() })
        }
        RetryPolicy::Exponential { retries, base, factor, max, jitter } => json!({
            "retries": retries,
            "base_ms": base.as_millis() as u64,
            "factor": factor,
            "max_ms": max.as_millis() as u64,
            "jitter": jitter,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn limits() -> RetryLimits {
        RetryLimits { retries: 30, span: 30 * DAY, retention: 30 * DAY }
    }

    /// What is wrong with a schedule: the pointer and the words of each problem.
    fn problems(value: Value, limits: &RetryLimits) -> Vec<(String, String)> {
        let problems = read(&value, limits).expect_err("something is wrong with it");
        problems.into_iter().map(|problem| (problem.pointer, problem.detail)).collect()
    }

    #[test]
    fn what_is_shown_can_be_given_back() {
        for value in [
            json!(null),
            json!({ "schedule_ms": [] }),
            json!({ "schedule_ms": [0, 5000, 60000] }),
            json!({ "retries": 3, "base_ms": 1, "factor": 1.5, "max_ms": 100, "jitter": 0.25 }),
        ] {
            let policy = read(&value, &limits()).expect("nothing is wrong with it");
            assert_eq!(policy.as_ref().map_or(Value::Null, show), value);
        }
        let policy = read(&json!({}), &limits()).expect("each of its parts has a default");
        assert_eq!(policy, Some(RetryPolicy::default()));
    }

    #[test]
    fn every_problem_is_pointed_to() {
        let found = problems(json!({ "schedule_ms": [1, -1, 2.5], "retries": 3, "a/b": 1 }), &limits());
        let mut pointers: Vec<&str> = found.iter().map(|(pointer, _)| pointer.as_str()).collect();
        pointers.sort_unstable();
        assert_eq!(pointers, ["/retry/a~1b", "/retry/retries", "/retry/schedule_ms/1", "/retry/schedule_ms/2"]);
        for (wrong, pointer) in [
            (json!([]), "/retry"),
            (json!({ "schedule_ms": 5 }), "/retry/schedule_ms"),
            (json!({ "base_ms": "5" }), "/retry/base_ms"),
            (json!({ "retries": 4_294_967_296_u64 }), "/retry/retries"),
            (json!({ "factor": 0.5 }), "/retry"),
        ] {
            assert_eq!(problems(wrong.clone(), &limits())[0].0, pointer, "{wrong}");
        }
    }

    #[test]
    fn a_bound_is_named_with_its_option() {
        let one = |value, limits: &RetryLimits| {
            let mut found = problems(value, limits);
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0].0, "/retry");
            found.remove(0).1
        };
        let few = RetryLimits { retries: 2, ..limits() };
        let three = json!({ "schedule_ms": [1, 1, 1] });
        assert_eq!(one(three.clone(), &few), "at most 2 retries are possible (`max_retries`)");
        assert_eq!(one(json!({ "retries": 3, "base_ms": 1 }), &few), "at most 2 retries are possible (`max_retries`)");
        let day = 86_400_000_u64;
        let short = RetryLimits { span: 2 * DAY, ..limits() };
        let long = json!({ "schedule_ms": [day, day, day] });
        assert!(one(long.clone(), &short).ends_with("172800000 ms (2 days) (`max_retry_days`)"));
        let forgetful = RetryLimits { retention: 2 * DAY, ..limits() };
        assert!(one(long.clone(), &forgetful).ends_with("is how long deliveries are kept (`retention_days`)"));
        assert!(read(&long, &limits()).is_ok() && read(&three, &limits()).is_ok());
    }
}
