//! Verifiers that receivers find in registries. `scripts/test` installs them
//! into the target directory; nothing is installed here. They know `v1` alone,
//! and have to pass over `v1a` beside it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use posthaste::clock::Clock;
use posthaste::policy::signature::{Message, VerifyingKey};
use serde_json::{Value, json};

use super::{Case, installed, not_tested, plain_cases};

/// What one library made of all cases.
struct Judged {
    library: String,
    verdicts: Vec<bool>,
    /// What it signs each message with, having the receiver's secret.
    signatures: Vec<String>,
}

/// Hands the cases to a script, which hands them to each library.
fn judged(command: &mut Command, cases: &[Case]) -> Vec<Judged> {
    let shown = |case: &Case| {
        json!({
            "secret": case.secrets[0],
            "id": case.id,
            "timestamp": case.timestamp,
            "signatures": case.signatures,
            "body": std::str::from_utf8(&case.body).unwrap(),
        })
    };
    let asked = Value::from_iter(cases.iter().map(shown)).to_string();
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    process.stdin.take().unwrap().write_all(asked.as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?} says why");
    let answer: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let read = |judged: &Value| Judged {
        library: judged["library"].as_str().unwrap().to_owned(),
        verdicts: serde_json::from_value(judged["verdicts"].clone()).unwrap(),
        signatures: serde_json::from_value(judged["signatures"].clone()).unwrap(),
    };
    answer.iter().map(read).collect()
}

fn check(registry: &str, command: &mut Command) {
    let now = Clock::system().wall().as_seconds();
    let cases = plain_cases(now);
    let all = judged(command, &cases);
    let libraries: Vec<&str> = all.iter().map(|judged| judged.library.as_str()).collect();
    assert_eq!(libraries, ["standardwebhooks", "svix"], "{registry}");
    for Judged { library, verdicts, signatures } in all {
        assert_eq!((verdicts.len(), signatures.len()), (cases.len(), cases.len()));
        for ((case, verdict), signature) in cases.iter().zip(verdicts).zip(signatures) {
            assert_eq!(verdict, case.is_good, "{registry}, {library}, {}", case.name);
            let keys = [VerifyingKey::parse(&case.secrets[0]).unwrap()];
            let Case { id, timestamp, body, .. } = case;
            let message = Message { id, timestamp, signatures: &signature, body };
            let ours = message.verify_at_any_age(&keys);
            assert!(ours.is_ok(), "{registry}, {library}, {}: {ours:?} of what it signs", case.name);
        }
    }
}

fn script(file: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/receivers").join(file).to_str().unwrap().to_owned()
}

const REMEDY: &str = "`scripts/test` installs them where it finds python3 and npm, and says if it cannot";

#[test]
fn verifiers_from_pypi_agree() {
    let python = installed("python/bin/python");
    if !installed("python/installed").exists() {
        return not_tested("the verifiers of PyPI", REMEDY);
    }
    check("PyPI", Command::new(python).arg(script("registry.py")));
}

#[test]
fn verifiers_from_npm_agree() {
    if !installed("node/installed").exists() {
        return not_tested("the verifiers of npm", REMEDY);
    }
    check("npm", Command::new("node").arg(script("registry.js")).env("NODE_PATH", installed("node/node_modules")));
}
