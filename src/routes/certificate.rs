//! An endpoint's `client_certificate`, as a body gives it. What makes it a sound
//! one is `policy::client_certificate`'s.

use serde_json::Value;

use crate::catalog::pointer_below;
use crate::domain::{ClientCertificate, Timestamp};
use crate::policy::client_certificate;
use crate::routes::problem::FieldProblem;

const POINTER: &str = "/client_certificate";

/// The certificate, or none where it is `null`.
pub fn read(value: &Value, now: Timestamp) -> Result<Option<ClientCertificate>, Vec<FieldProblem>> {
    let fields = match value {
        Value::Null => return Ok(None),
        Value::Object(fields) => fields,
        _ => {
            let detail = "expected an object with `certificate` and `key`, each as PEM, or null";
            return Err(vec![FieldProblem::new(POINTER, detail)]);
        }
    };
    let mut problems: Vec<FieldProblem> = fields
        .keys()
        .filter(|name| !matches!(name.as_str(), "certificate" | "key"))
        .map(|unknown| {
            let detail = "unknown field; there is `certificate` and `key`; leave all of it out to keep what is set";
            FieldProblem::new(pointer_below(POINTER, unknown), detail)
        })
        .collect();
    let mut text = |name: &str| {
        let text = fields.get(name).and_then(Value::as_str);
        if text.is_none() {
            problems.push(FieldProblem::new(pointer_below(POINTER, name), "expected a string of PEM"));
        }
        text
    };
    let pair = (text("certificate"), text("key"));
    let (Some(certificate), Some(key)) = pair else { return Err(problems) };
    if !problems.is_empty() {
        return Err(problems);
    }
    client_certificate::check(certificate, key, now).map(Some).map_err(|problem| {
        let field = if problem.is_about_key() { "key" } else { "certificate" };
        vec![FieldProblem::new(pointer_below(POINTER, field), problem.to_string())]
    })
}
